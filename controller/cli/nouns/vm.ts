import type { Command } from 'commander';
import type { Shell } from '../shell.js';
import { addConsole, addVnc } from './vm-console.js';
import { addVmCreate } from './vm-create.js';
import { addVmDelete, addVmReboot, addVmStart, addVmStop, addVmUndelete } from './vm-lifecycle.js';
import { addVmPower } from './vm-power.js';
import { addVmList, addVmShow, addVmStatus } from './vm-list.js';
import { addVmSet, addVmUserData } from './vm-set.js';
import { addVmCdrom, addVmDisk, addVmNic, addVmPending } from './vm-device.js';
import { addVmTop } from './top.js';

/** Verbs that may also stand without their noun: `ostler start web1`. */
export function addBareVmVerbs(program: Command, shell: Shell): void {
  for (const add of [addVmList, addVmShow, addVmCreate, addVmStart, addVmStop, addVmReboot, addVmDelete])
    add(program, shell);
  addConsole(program, shell);
  addVnc(program, shell);
}

export function addVm(program: Command, shell: Shell): void {
  const vm = program.command('vm').description('virtual machines');
  addBareVmVerbs(vm, shell);
  addVmStatus(vm, shell);
  addVmUndelete(vm, shell);
  addVmPower(vm, shell);
  addVmSet(vm, shell);
  addVmDisk(vm, shell);
  addVmNic(vm, shell);
  addVmCdrom(vm, shell);
  addVmPending(vm, shell);
  addVmUserData(vm, shell);
  addVmTop(vm, shell);
}
