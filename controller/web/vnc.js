// The screen of one VM. The address holds a ticket that opens the WebSocket once; it is taken out of the history at once.
import RFB from '/novnc/core/rfb.js';

const query = new URLSearchParams(location.search);
const byId = (id) => document.getElementById(id);
const name = query.get('name') ?? query.get('vm') ?? 'VM';
byId('name').textContent = name;
document.title = `${name} · Ostler`;

function say(text, bad = false) {
  const status = byId('status');
  status.textContent = text;
  status.classList.toggle('bad', bad);
}

function consoleUrl() {
  const url = new URL('/console', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  for (const key of ['vm', 'ticket']) if (query.has(key)) url.searchParams.set(key, query.get(key));
  return url.href;
}

// A browser keeps what a refused WebSocket was told from its page; the same address tells a plain request.
async function refusal(url) {
  try {
    const answer = await fetch(url.replace(/^ws/, 'http'));
    return (await answer.json()).message;
  } catch {
    return 'The controller does not answer.';
  }
}

function connect() {
  const address = consoleUrl();
  const socket = new WebSocket(address);
  history.replaceState(null, '', location.pathname);
  let opened = false;
  let reason = '';
  socket.addEventListener('open', () => (opened = true));
  // Before noVNC's own listener: it tells only whether the end was clean.
  socket.addEventListener('close', (event) => (reason = event.reason));
  const rfb = new RFB(byId('screen'), socket, { shared: true });
  rfb.scaleViewport = true;
  rfb.background = 'transparent';
  wire(rfb);
  rfb.addEventListener('connect', () => {
    say('Connected.');
    for (const id of ['ctrl-alt-del', 'scale']) byId(id).disabled = false;
    rfb.focus();
  });
  rfb.addEventListener('disconnect', (event) => {
    for (const id of ['ctrl-alt-del', 'scale']) byId(id).disabled = true;
    const again = `Open it again with “ostler vnc ${name}”.`;
    if (!opened) void refusal(address).then((why) => say(`${why} ${again}`, true));
    else
      say(`${event.detail.clean ? 'Closed' : 'Connection lost'}${reason === '' ? '' : `: ${reason}`}. ${again}`, true);
  });
  rfb.addEventListener('securityfailure', (event) =>
    say(`Refused by the VM: ${event.detail.reason ?? 'no reason'}`, true),
  );
}

function wire(rfb) {
  byId('ctrl-alt-del').addEventListener('click', () => {
    rfb.sendCtrlAltDel();
    rfb.focus();
  });
  byId('scale').addEventListener('click', (event) => {
    rfb.scaleViewport = !rfb.scaleViewport;
    rfb.clipViewport = !rfb.scaleViewport;
    rfb.dragViewport = !rfb.scaleViewport;
    event.currentTarget.setAttribute('aria-pressed', String(rfb.scaleViewport));
    rfb.focus();
  });
  byId('full').addEventListener('click', () => {
    if (document.fullscreenElement === null) void document.documentElement.requestFullscreen();
    else void document.exitFullscreen();
    rfb.focus();
  });
}

if (query.has('ticket')) connect();
else say('This address has no ticket. Open it with “ostler vnc NAME”.', true);
