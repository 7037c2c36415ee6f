import { stringify } from 'yaml';
import type { VmRecord } from '../../proto/model/vm.js';
import { scriptParts } from './scripts.js';
import { multipart, readUserData } from './user-data.js';
import type { UserDataPart } from './user-data.js';

/** cloud-init reads YAML 1.1, where an unquoted MAC address can be a number to the base 60: every string is quoted. */
function yaml(value: unknown): string {
  return stringify(value, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 });
}

/** C-085…C-087: the account, made at first boot; `hashed_passwd` and the keys are set again when the instance id changes. */
function account(record: VmRecord): Record<string, unknown> {
  const { user, passwordHash, sshKeys } = record.spec.cloudInit;
  return {
    name: user,
    gecos: user,
    groups: ['adm', 'sudo'],
    sudo: 'ALL=(ALL) NOPASSWD:ALL',
    shell: '/bin/bash',
    lock_passwd: passwordHash === '',
    ...(passwordHash === '' ? {} : { hashed_passwd: passwordHash }),
    ...(sshKeys.length === 0 ? {} : { ssh_authorized_keys: sshKeys }),
  };
}

function ownConfig(record: VmRecord): string {
  const config = {
    hostname: record.name,
    preserve_hostname: false,
    manage_etc_hosts: 'localhost',
    users: [account(record)],
    disable_root: true,
    ssh_pwauth: record.spec.cloudInit.passwordHash !== '',
  };
  return `#cloud-config\n${yaml(config)}`;
}

/**
 * User data: our cloud-config alone, or a multipart of it, the scripts and the person's own user data. The person's
 * cloud-config comes last, so that its keys win. Throws RangeError for packed user data that does not unpack.
 */
export function userData(record: VmRecord): string {
  const { cloudInit } = record.spec;
  const own: UserDataPart = { type: 'text/cloud-config', fileName: 'ostler.cfg', content: ownConfig(record) };
  const parts = [own, ...scriptParts(cloudInit.scripts)];
  const given = readUserData(cloudInit.userData);
  if (given?.kind === 'part') parts.push({ type: 'text/plain', fileName: 'part-user-data', content: given.content });
  const nested = given?.kind === 'mime' ? given.content : undefined;
  return parts.length === 1 && nested === undefined ? own.content : multipart(parts, nested);
}

/**
 * `generation` counts what must be applied to the guest once more (a new key, a new password): cloud-init takes another
 * instance id for a first boot. `dsmode: local` makes it run boot hooks before the network is up; then it cannot follow
 * `#include` addresses in user data, so it is set for VMs with pre-network scripts alone.
 */
export function metaData(record: VmRecord, generation: number): string {
  const beforeNetwork = record.spec.cloudInit.scripts.some((script) => script.stage === 'pre-network');
  return yaml({
    'instance-id': `${record.uuid}-${generation}`,
    'local-hostname': record.name,
    ...(beforeNetwork ? { dsmode: 'local' } : {}),
  });
}

/**
 * The person's own network config as it is, or DHCP on every NIC. NICs are matched by MAC address: cloud-init 22.4 (Debian 12)
 * ignores a match by name. Only the first must come up before the boot goes on.
 */
export function networkConfig(record: VmRecord): string {
  const { cloudInit, nics } = record.spec;
  if (cloudInit.networkConfig.trim() !== '') return cloudInit.networkConfig;
  const ethernets = nics.map((nic, index) => [
    nic.name,
    {
      match: { macaddress: nic.mac },
      dhcp4: true,
      ...(nic.mtu === 0 ? {} : { mtu: nic.mtu }),
      ...(index === 0 ? {} : { optional: true }),
    },
  ]);
  return yaml({ version: 2, ethernets: Object.fromEntries(ethernets) as unknown });
}
