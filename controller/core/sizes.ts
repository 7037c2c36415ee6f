/** Sizes in sentences: `512 MiB`, `1.5 GiB`. */
const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

export function sizeText(bytes: number): string {
  if (bytes >= GIB) return `${trim(bytes / GIB)} GiB`;
  return `${trim(bytes / MIB)} MiB`;
}

function trim(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}
