// The rivals of `beacons`: the least that can answer 64 random bytes over mutual TLS 1.3 with node:https; one that has read the
// request when it answers, as whoever mixes a nonce in must (`reads`), and one that never looks at it (`blind`).
import { constants, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';

const [port, ca, cert, key, kind] = process.argv.slice(2);
const server = https.createServer(
  {
    ca: readFileSync(ca),
    cert: readFileSync(cert),
    key: readFileSync(key),
    minVersion: 'TLSv1.3',
    // Two tickets a connection cost time and our relay sends none: the rival need not either.
    secureOptions: constants.SSL_OP_NO_TICKET,
    requestCert: true,
    rejectUnauthorized: true,
  },
  (request, response) => {
    const answer = () => {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': '64' });
      response.end(randomBytes(64));
    };
    if (kind === 'reads') read(request, answer);
    else {
      request.resume();
      answer();
    }
  },
);

function read(request, then) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => then(Buffer.concat(chunks)));
}

server.listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
