/**
 * The firmware of the test guest: 64 KiB that a PC maps under the top of memory and at 0xf0000, with its reset vector 16 bytes
 * before the end. It goes the way every operating system goes (real mode, page tables, long mode) and then computes with
 * SSE2. Less would not do: a KVM on a machine without virtualisation in hardware interprets plain instructions in software,
 * runs a whole SeaBIOS, and fails at the first SSE instruction of a kernel (seen: `KVM internal error. Suberror: 1`).
 */
const CODE = [
  // Real mode, CS = 0xf000: segments and a stack.
  'fa 31c0 8ed8 8ec0 8ed0 bc0070', // cli; xor ax,ax; mov ds/es/ss,ax; mov sp,0x7000
  // Page tables from 0x1000 on, cleared: PML4 → PDPT at 0x2000 → PD at 0x3000 → one page of 2 MiB at 0.
  'bf0010 b90018 fc f3ab', // mov di,0x1000; mov cx,0x1800; cld; rep stosw
  '66c706001003200000', // mov dword [0x1000],0x2003
  '66c706002003300000', // mov dword [0x2000],0x3003
  '66c706003083000000', // mov dword [0x3000],0x83
  // Long mode: PAE and SSE in CR4, LME in EFER, paging and protection in CR0 at once.
  '2e660f0116a800', // lgdt cs:[0xa8]
  '66b820060000 0f22e0', // mov eax,0x620; mov cr4,eax
  '66b800100000 0f22d8', // mov eax,0x1000; mov cr3,eax
  '66b9800000c0 0f32 660d00010000 0f30', // mov ecx,0xc0000080; rdmsr; or eax,0x100; wrmsr
  '66b811000080 0f22c0', // mov eax,0x80000011; mov cr0,eax
  '66ea6a000f000800', // jmp 8:0xf006a
  // 64 bits: x + x by SSE2 must be x + x by the integer unit, and survive the stack.
  '48b8efcdab8967452301', // mov rax,0x0123456789abcdef
  '66480f6ec0 660fd4c0 66480f7ec3', // movq xmm0,rax; paddq xmm0,xmm0; movq rbx,xmm0
  '4801c0 4839c3 750b', // add rax,rax; cmp rbx,rax; jne bad
  '50 59 4839cb 7504', // push rax; pop rcx; cmp rbx,rcx; jne bad
  'b02a e6f4', // mov al,SIGN; out 0xf4,al
  'f4 ebfd', // bad: hlt; jmp bad
  '0000000000000000', // at 0x98: the descriptor table's null entry
];
/** At 0xa0: a code segment of 64 bits; at 0xa8: the table's limit and address (0xf0098, its null entry). */
const TABLE = 'ffff0000009baf00 0f0098000f00';

/** Any value that no failure of QEMU could be: isa-debug-exit ends it with (value << 1) | 1. */
const SIGN = 0x2a;
export const EXPECTED_EXIT = (SIGN << 1) | 1;

const ROM_BYTES = 64 * 1024;
const RESET_VECTOR = ROM_BYTES - 16;
const TABLE_OFFSET = 0xa0;

/** The firmware's bytes. Everything else in it is `hlt`. */
export function probeFirmware(): Buffer {
  const rom = Buffer.alloc(ROM_BYTES, 0xf4);
  bytes(CODE.join('')).copy(rom, 0);
  bytes(TABLE).copy(rom, TABLE_OFFSET);
  // jmp 0xf000:0
  bytes('ea000000f0').copy(rom, RESET_VECTOR);
  return rom;
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}
