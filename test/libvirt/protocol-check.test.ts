/** The checker must find what is wrong: it is given a source tree of our own with mistakes in it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkTree } from './protocol-check.js';

const REMOTE = `
const REMOTE_STRING_MAX = 4194304;
typedef string remote_nonnull_string<REMOTE_STRING_MAX>;
typedef remote_nonnull_string *remote_string;
typedef opaque remote_uuid[VIR_UUID_BUFLEN];
struct remote_nonnull_domain { remote_nonnull_string name; remote_uuid uuid; int id;
};
struct remote_nonnull_network { remote_nonnull_string name; remote_uuid uuid;
};
typedef remote_nonnull_domain *remote_domain;
typedef remote_nonnull_network *remote_network;
struct remote_error { int code; int domain; remote_string message; int level; remote_domain dom; remote_string str1;
  remote_string str2; remote_string str3; int int1; int int2; remote_network net;
};
struct remote_domain_get_state_args { remote_nonnull_domain dom; unsigned int flags;
};
struct remote_domain_get_state_ret { int state; int reason;
};
struct remote_domain_get_info_args { remote_nonnull_domain dom;
};
struct remote_domain_get_info_ret { unsigned char state; unsigned hyper maxMem; unsigned hyper memory; int nrVirtCpu;
  unsigned hyper cpuTime;
};
struct remote_domain_event_callback_reboot_msg { int callbackID; remote_nonnull_domain dom; int more;
};
enum remote_procedure {
  /** @priority: high */
  REMOTE_PROC_DOMAIN_GET_STATE = 212,
  /** */
  REMOTE_PROC_DOMAIN_GET_INFO = 17,
  /** @priority: high */
  REMOTE_PROC_DOMAIN_SUSPEND = 34,
  /** */
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_REBOOT = 319
};
struct remote_domain_suspend_args { remote_nonnull_domain dom;
};
`;

void t.test('wrong numbers, layouts, priorities, events, errors and flags are found', (t) => {
  const tree = t.testdir();
  mkdirSync(join(tree, 'src/remote'), { recursive: true });
  mkdirSync(join(tree, 'include/libvirt'), { recursive: true });
  writeFileSync(join(tree, 'src/remote/remote_protocol.x'), REMOTE);
  writeFileSync(join(tree, 'src/remote/qemu_protocol.x'), 'enum qemu_procedure {\n};\n');
  writeFileSync(
    join(tree, 'include/libvirt/libvirt-domain.h'),
    'enum {\n  VIR_ERR_NO_DOMAIN = 43,\n  VIR_DOMAIN_AFFECT_LIVE = 1 << 0,\n  VIR_DOMAIN_AFFECT_CONFIG = (1 << 3),\n};\n',
  );
  const { errors, compared, newer } = checkTree(tree);
  t.strictSame(
    errors.map((e) => e.replace(/\{string.*/, '…')),
    [
      'domainGetInfo: number 16, libvirt says 17',
      'domainGetInfo ret: {u32,u64,u64,u32,u64}, libvirt says {u32,u64,u64,i32,u64}',
      'domainSuspend: slow, libvirt says priority high',
      'reboot: {i32,{…',
      'VIR_ERR_NO_DOMAIN: 42, libvirt says 43',
      'VIR_DOMAIN_AFFECT_CONFIG: 2, libvirt says 8',
    ],
  );
  t.equal(compared, 5, 'three procedures, one event, one flag');
  t.ok(newer.length > 300, 'the rest is newer than this version');
  t.end();
});
