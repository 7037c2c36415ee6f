/**
 * The x86-64 microarchitecture levels (https://gitlab.com/x86-psABIs/x86-64-ABI, "Micro-Architecture Levels") as CPU models.
 * libvirt has no model of these names; they are named and made up as Proxmox VE's are (PVE::QemuServer::CPUConfig): QEMU's
 * `qemu64` and the features of the level, so that a guest moves between any two hosts that reach it. `svm` is part of libvirt's
 * idea of qemu64 and is taken away: no Intel host has it. `lahf_lm` belongs to level 2, and QEMU's qemu64 has it, libvirt's not.
 */
export interface Baseline {
  readonly model: string;
  readonly require: readonly string[];
  readonly disable: readonly string[];
  /** QEMU's software emulation can provide it (7.2: everything up to AVX2). */
  readonly emulated: boolean;
}

const V1: readonly string[] = [];
const V2 = ['lahf_lm', 'pni', 'popcnt', 'sse4.1', 'sse4.2', 'ssse3'];
const V2_AES = [...V2, 'aes'];
const V3 = [...V2_AES, 'abm', 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave'];
const V4 = [...V3, 'avx512bw', 'avx512cd', 'avx512dq', 'avx512f', 'avx512vl'];

function level(require: readonly string[], emulated = true): Baseline {
  return { model: 'qemu64', require, disable: ['svm'], emulated };
}

export const BASELINES: Readonly<Record<string, Baseline>> = {
  'x86-64-v1': level(V1),
  'x86-64-v2': level(V2),
  'x86-64-v2-AES': level(V2_AES),
  'x86-64-v3': level(V3),
  'x86-64-v4': level(V4, false),
};

/** What a VM gets under emulation when it names no model: the lowest level that today's distributions boot on. */
export const EMULATED_DEFAULT = 'x86-64-v2-AES';

/** The baseline of that name, or undefined. */
export function baselineOf(name: string): Baseline | undefined {
  return Object.hasOwn(BASELINES, name) ? BASELINES[name] : undefined;
}
