import type { UserScript } from '../../proto/model/cloud-init.js';
import type { UserDataPart } from './user-data.js';

/**
 * Where a script of each stage goes (C-090). cloud-init runs what it finds in the instance's `scripts` directory by name, once per
 * instance, after the network is up and the configuration is done: `boot-…` comes before parts of the user data (`part-…`) and
 * before `runcmd`, `zz-final-…` after both. Boot hooks run before the network when the data source says `dsmode: local`.
 */
function fileName(script: UserScript): string {
  const number = String(script.order).padStart(4, '0');
  switch (script.stage) {
    case 'pre-network':
      return `pre-network-${number}-${script.name}`;
    case 'boot':
      return `boot-${number}-${script.name}`;
    case 'final':
      return `zz-final-${number}-${script.name}`;
  }
}

/** Windows line ends break `#!`; a script without `#!` is one for the shell. */
function executable(content: string): string {
  const text = content.replaceAll('\r\n', '\n');
  return text.startsWith('#!') ? text : `#!/bin/sh\n${text}`;
}

/**
 * Boot hooks run at every boot; ours must run once per instance, as the other scripts do. The hook lies in the instance's own
 * directory, so that marks beside it are per instance. The script travels as base64: no quoting, no limit of a here-document's words.
 */
function onceHook(script: string): string {
  const body = Buffer.from(script, 'utf8').toString('base64').replace(/.{76}/g, '$&\n').trimEnd();
  return `#cloud-boothook
#!/bin/sh
[ ! -e "$0.done" ] || exit 0
umask 077
base64 -d > "$0.run" <<'EOF' || exit 1
${body}
EOF
chmod 700 "$0.run"
: > "$0.done"
exec "$0.run"
`;
}

/** The scripts as parts, in the order in which they run. */
export function scriptParts(scripts: readonly UserScript[]): UserDataPart[] {
  const stages: readonly UserScript['stage'][] = ['pre-network', 'boot', 'final'];
  return [...scripts]
    .sort((a, b) => stages.indexOf(a.stage) - stages.indexOf(b.stage) || a.order - b.order)
    .map((script) => {
      const content = executable(script.content);
      return script.stage === 'pre-network'
        ? { type: 'text/cloud-boothook', fileName: fileName(script), content: onceHook(content) }
        : { type: 'text/x-shellscript', fileName: fileName(script), content };
    });
}
