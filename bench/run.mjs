// `npm run bench -- NAME…`: runs the named stages, or all of them. See README.md.
// The last three keep this process on one core from then on.
const STAGES = ['core', 'library', 'recovery', 'start', 'camera', 'beacons', 'storm', 'overload'];

const asked = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const unknown = asked.filter((name) => !STAGES.includes(name));
if (unknown.length > 0) {
  console.error(`no stage ${unknown.join(', ')}; there are ${STAGES.join(', ')}`);
  process.exit(64);
}
// What was started ends with this process, and what was written goes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    console.error(`stopped by ${signal}`);
    process.exit(1);
  });
}
console.log(`node ${process.versions.node}, OpenSSL ${process.versions.openssl}`);
for (const name of asked.length > 0 ? asked : STAGES) {
  const { run } = await import(`./${name}.mjs`);
  console.log(`\n${name}`);
  await run();
}
