/** vCPUs and memory: while the VM runs they only grow, up to what it was started with (C-109, C-111). */
import { memoryOf, type DomainFacts } from './domain-facts.js';
import type { PartPlan, PlanInput } from './domain-plan.js';
import { sizeOf, type MemoryWay, type Step } from './domain-steps.js';
import { refuse, STOP_FIRST, type Refusal } from './refusal.js';

/** Granularity of virtio-mem with transparent huge pages. */
const VIRTIO_MEM_BLOCK = 2 * 1024 * 1024;
/** Linux and Windows take DIMMs in sections of this size. */
const DIMM_STEP = 128 * 1024 * 1024;

export function planSize(input: PlanInput): PartPlan {
  const steps: Step[] = [];
  const refusals: Refusal[] = [];
  for (const part of [planCpu(input), planMemory(input)]) {
    steps.push(...part.steps);
    refusals.push(...part.refusals);
  }
  return { steps, refusals };
}

const VCPUS = 'spec.cpu.vcpus';
const MEMORY = 'spec.memory.size_bytes';

function planCpu({ previous, wanted, live }: PlanInput): PartPlan {
  const before = previous.spec.cpu;
  const after = wanted.spec.cpu;
  const steps: Step[] = [];
  const later = (field: string, what: string): number =>
    steps.push({ kind: 'write-down', when: 'next-start', field, what });
  const ceiling = `it can have up to ${after.maxVcpus} vCPUs (${after.sockets} × ${after.cores} × ${after.threads})`;
  if (live === undefined) {
    if (before.vcpus !== after.vcpus) later(VCPUS, `it has ${after.vcpus} vCPUs`);
    if (shapeOf(before) !== shapeOf(after)) later('spec.cpu.max_vcpus', ceiling);
    if (before.model !== after.model) later('spec.cpu.model', `its CPU is ${after.model || "the host's default"}`);
    return { steps, refusals: [] };
  }
  const refusals = cpuRefusals(before, after, live);
  if (after.vcpus > live.vcpus)
    steps.push({ kind: 'vcpus', when: 'now', field: VCPUS, from: live.vcpus, to: after.vcpus });
  if (after.vcpus < live.vcpus) later(VCPUS, `it has ${after.vcpus} vCPUs`);
  if (after.maxVcpus !== live.maxVcpus) later('spec.cpu.max_vcpus', ceiling);
  return { steps, refusals };
}

type Cpu = PlanInput['wanted']['spec']['cpu'];

function shapeOf(cpu: Cpu): string {
  return `${cpu.maxVcpus}/${cpu.sockets}/${cpu.cores}/${cpu.threads}`;
}

function cpuRefusals(before: Cpu, after: Cpu, live: DomainFacts): Refusal[] {
  const refusals: Refusal[] = [];
  const running = (field: string, message: string, remedy = STOP_FIRST): number =>
    refusals.push(refuse('WRONG_STATE', `spec.cpu.${field}`, message, remedy));
  if (after.vcpus < before.vcpus && after.vcpus < live.vcpus) {
    running('vcpus', `A running VM only gains vCPUs: it has ${live.vcpus}, ${after.vcpus} are asked for.`); // C-111
  } else if (after.vcpus > live.maxVcpus) {
    const most = `It was started with room for ${live.maxVcpus} vCPUs; ${after.vcpus} are asked for.`;
    running('vcpus', most, 'Stop it, raise max_vcpus too, then start it.'); // C-109
  }
  // C-118. Cores follow from the ceiling, which may be set for the next start.
  if (after.threads !== before.threads) running('threads', 'Threads per core cannot be changed while the VM runs.');
  if (after.sockets !== before.sockets) running('sockets', 'Sockets cannot be changed while the VM runs.');
  if (after.cores !== before.cores && after.maxVcpus === before.maxVcpus)
    running('cores', 'Cores per socket cannot be changed while the VM runs.');
  if (after.model !== before.model) running('model', 'The CPU model cannot be changed while the VM runs.');
  return refusals;
}

function planMemory({ previous, wanted, live }: PlanInput): PartPlan {
  const before = previous.spec.memory;
  const after = wanted.spec.memory;
  const steps: Step[] = [];
  const later = (field: string, what: string): number =>
    steps.push({ kind: 'write-down', when: 'next-start', field, what });
  const ceiling = `it can have up to ${sizeOf(after.maxSizeBytes)} of memory`;
  const size = `it has ${sizeOf(after.sizeBytes)} of memory`;
  if (live === undefined) {
    if (before.sizeBytes !== after.sizeBytes) later(MEMORY, size);
    if (before.maxSizeBytes !== after.maxSizeBytes) later('spec.memory.max_size_bytes', ceiling);
    return { steps, refusals: [] };
  }
  const have = memoryOf(live);
  const most = live.maxMemoryBytes ?? live.bootMemoryBytes;
  if (after.maxSizeBytes !== most) later('spec.memory.max_size_bytes', ceiling);
  if (after.sizeBytes === have) return { steps, refusals: [] };
  if (after.sizeBytes < have) {
    if (after.sizeBytes >= before.sizeBytes) later(MEMORY, size);
    else {
      const message = `A running VM only gains memory: it has ${sizeOf(have)}, ${sizeOf(after.sizeBytes)} are asked for.`;
      return { steps, refusals: [refuse('WRONG_STATE', MEMORY, message, STOP_FIRST)] }; // C-111
    }
    return { steps, refusals: [] };
  }
  const way = wayToGrow(after.sizeBytes - have, live, wanted.spec.osType === 'linux', most - have);
  if ('message' in way) return { steps, refusals: [way] };
  steps.push({ kind: 'memory', when: 'now', field: MEMORY, fromBytes: have, toBytes: after.sizeBytes, how: way });
  return { steps, refusals: [] };
}

/** virtio-mem where the guest has a driver for it, in one device that grows; DIMMs elsewhere. */
function wayToGrow(bytes: number, live: DomainFacts, linux: boolean, room: number): MemoryWay | Refusal {
  const no = (message: string, remedy: string): Refusal => refuse('WRONG_STATE', MEMORY, message, remedy);
  if (bytes > room) {
    const most = `It was started with room for ${sizeOf(room)} more memory; ${sizeOf(bytes)} more are asked for.`;
    return no(most, 'Stop it, raise max_size_bytes too, then start it.'); // C-109
  }
  const step = linux ? VIRTIO_MEM_BLOCK : DIMM_STEP;
  if (bytes % step !== 0) {
    const message = `Memory of a running VM grows in steps of ${sizeOf(step)}; ${sizeOf(bytes)} more are asked for.`;
    return no(message, 'Ask for a whole number of steps, or stop it first.');
  }
  if (!linux) return { by: 'attach', model: 'dimm', sizeBytes: bytes };
  const device = live.memory.find((one) => one.model === 'virtio-mem');
  if (device !== undefined) {
    const requestedBytes = device.requestedBytes + bytes;
    if (requestedBytes <= device.sizeBytes) return { by: 'resize', device, requestedBytes };
    return no(`Its memory device has room for ${sizeOf(device.sizeBytes)} only.`, STOP_FIRST);
  }
  const sizeBytes = Math.floor(room / VIRTIO_MEM_BLOCK) * VIRTIO_MEM_BLOCK;
  return { by: 'attach', model: 'virtio-mem', sizeBytes, requestedBytes: bytes };
}
