import { fromLibvirt } from './libvirt-errors.js';

/** A call whose failure is told as the product's: "libvirt could not WHAT: …". */
export async function named<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw fromLibvirt(error, what);
  }
}
