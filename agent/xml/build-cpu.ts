import type { Element } from '@xmldom/xmldom';
import type { VmRecord } from '../../proto/model/vm.js';
import { serializeXml } from './document.js';
import { add, newDocument, setAttributes } from './element.js';
import { baselineOf, BASELINES, EMULATED_DEFAULT } from './cpu-models.js';
import { kibibytes } from './units.js';
import { XmlError } from './xml-error.js';

export type VirtType = 'kvm' | 'qemu';

/** `<cpu>`: model, topology (sockets × cores × threads = all vCPUs that can be plugged) and the NUMA cell of memory hotplug. */
export function addCpu(domain: Element, record: VmRecord, virtType: VirtType): void {
  const { cpu, memory } = record.spec;
  const element = add(domain, 'cpu');
  addModel(element, cpu.model, virtType);
  add(element, 'topology', { sockets: cpu.sockets, dies: 1, cores: cpu.cores, threads: cpu.threads });
  addFeatures(element, cpu.model, virtType);
  if (memory.maxSizeBytes > memory.sizeBytes) {
    // QEMU plugs memory into a NUMA node, so there must be one.
    const cells = add(element, 'numa');
    const cpus = cpu.maxVcpus === 1 ? '0' : `0-${cpu.maxVcpus - 1}`;
    add(cells, 'cell', { id: 0, cpus, memory: kibibytes(memory.sizeBytes), unit: 'KiB' });
  }
}

/** The CPU of each baseline that may be had with this kind of guest, by its name, for libvirt's comparison with the host. */
export function baselineCpus(virtType: VirtType): ReadonlyMap<string, string> {
  const names = Object.keys(BASELINES).filter((name) => virtType === 'kvm' || BASELINES[name]?.emulated === true);
  return new Map(names.map((name) => [name, cpuOf(name, virtType)]));
}

function cpuOf(name: string, virtType: VirtType): string {
  const xml = newDocument('cpu');
  addModel(xml.root, name, virtType);
  addFeatures(xml.root, name, virtType);
  return serializeXml(xml);
}

function effectiveModel(model: string, virtType: VirtType): string {
  if (model !== '') return model;
  return virtType === 'kvm' ? 'host-model' : EMULATED_DEFAULT;
}

function addModel(element: Element, model: string, virtType: VirtType): void {
  const name = effectiveModel(model, virtType);
  if (name === 'host-passthrough' || name === 'maximum') {
    // Under emulation "everything there is" is QEMU's `max`; libvirt refuses host-passthrough there.
    setAttributes(element, { mode: virtType === 'kvm' ? name : 'maximum', check: 'none', migratable: 'on' });
    return;
  }
  if (name === 'host-model') {
    setAttributes(element, { mode: 'host-model', check: 'partial' });
    return;
  }
  const baseline = baselineOf(name);
  if (baseline !== undefined && !baseline.emulated && virtType === 'qemu') {
    throw new XmlError(
      'unusable',
      `The CPU model ${name} needs KVM: this host emulates its guests, and QEMU cannot emulate AVX-512.`,
      'spec.cpu.model',
    );
  }
  setAttributes(element, { mode: 'custom', match: 'exact', check: 'partial' });
  add(element, 'model', { fallback: 'forbid' }, baseline?.model ?? name);
}

function addFeatures(element: Element, model: string, virtType: VirtType): void {
  const name = effectiveModel(model, virtType);
  const baseline = baselineOf(name);
  for (const feature of baseline?.require ?? []) add(element, 'feature', { policy: 'require', name: feature });
  for (const feature of baseline?.disable ?? []) add(element, 'feature', { policy: 'disable', name: feature });
  if (virtType === 'qemu' && (name === 'host-passthrough' || name === 'maximum')) {
    // Five levels of page tables cost emulated guests time and give them nothing.
    add(element, 'feature', { policy: 'disable', name: 'la57' });
  }
}
