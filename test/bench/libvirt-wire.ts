/** A process that replays bulk statistics of recorded size (52 fields a domain) at any speed: prints its sockets, ends with stdin. */
import { procedures } from '../../agent/libvirt/procedures.js';
import { encode } from '../../agent/libvirt/xdr.js';
import { startFakeDaemon } from '../libvirt/fake-daemon.js';
import { statsRecords } from '../libvirt/stats-record.js';

const sizes = process.argv.slice(2).map(Number);
const daemons = await Promise.all(
  sizes.map(async (domains) => {
    const daemon = await startFakeDaemon();
    const records = statsRecords(domains).map(({ dom, stats }) => ({ dom, stats }));
    const payload = encode(procedures.connectGetAllDomainStats.ret, { retStats: records });
    daemon.on('connectGetAllDomainStats', () => payload);
    daemon.on('connectClose', () => ({}));
    return { domains, daemon, bytes: payload.length };
  }),
);
console.log(JSON.stringify(daemons.map(({ domains, daemon, bytes }) => ({ domains, socket: daemon.socket, bytes }))));
process.stdin.resume();
process.stdin.once('end', () => void Promise.all(daemons.map((d) => d.daemon.close())).then(() => process.exit(0)));
