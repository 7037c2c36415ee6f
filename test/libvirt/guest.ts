/** A guest that needs no operating system: a boot sector that sends back what the serial port gets, case flipped. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

// prettier-ignore
const ECHO = [
  0xfb,                   //       sti: the timer wakes hlt 18 times a second
  0xba, 0xfd, 0x03,       // poll: mov dx, 0x3fd (line status)
  0xec, 0xa8, 0x01,       //       in al, dx; test al, 1 (byte received)
  0x75, 0x03,             //       jnz got
  0xf4,                   //       hlt
  0xeb, 0xf5,             //       jmp poll
  0xba, 0xf8, 0x03, 0xec, // got:  mov dx, 0x3f8; in al, dx
  0x88, 0xc3,             //       mov bl, al
  0xba, 0xfd, 0x03,       //       mov dx, 0x3fd
  0xec, 0xa8, 0x20,       // wait: in al, dx; test al, 0x20 (room to send)
  0x74, 0xfb,             //       jz wait
  0x88, 0xd8, 0x34, 0x20, //       mov al, bl; xor al, 0x20
  0xba, 0xf8, 0x03, 0xee, //       mov dx, 0x3f8; out dx, al
  0xeb, 0xdd,             //       jmp poll
];

export interface EchoGuest {
  readonly name: string;
  readonly xml: string;
  readonly disk: string;
}

/** Writes the disk into `dir` and describes the domain: 32 MiB, TCG, serial port, VNC on a socket, a USB controller. */
export function echoGuest(dir: string, name: string, extraDevices = ''): EchoGuest {
  const disk = join(dir, `${name}.img`);
  const image = Buffer.alloc(1024 * 1024);
  image.set(ECHO);
  image.writeUInt16LE(0xaa55, 510);
  writeFileSync(disk, image);
  const xml = `<domain type='qemu'>
    <name>${name}</name>
    <memory unit='MiB'>32</memory>
    <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
    <features><acpi/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw'/><source file='${disk}'/><target dev='hda' bus='ide'/>
      </disk>
      <controller type='usb' model='qemu-xhci'/>
      <serial type='pty'/>
      <graphics type='vnc' socket='${dir}/${name}.vnc'/>
      <video><model type='vga' vram='1024'/></video>
      <memballoon model='none'/>
      ${extraDevices}
    </devices>
  </domain>`;
  return { name, xml, disk };
}
