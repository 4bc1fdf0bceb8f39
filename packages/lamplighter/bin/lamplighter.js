#!/usr/bin/env node
import { statSync } from 'node:fs';

// A boot waits for the agent: it has a bundle of its own, which loads in a tenth of the time. One that is older than the rest, as
// after a build that did not make it, is left alone.
const dist = (file) => new URL(`../dist/${file}`, import.meta.url);
const madeAt = (file) => statSync(dist(file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const isBundled = madeAt('bundle/agent-main.js') > madeAt('.tsbuildinfo');
const agent = isBundled ? 'bundle/agent-main.js' : 'cli/agent-main.js';
await import(dist(process.argv[2] === 'agent' ? agent : 'cli/main.js').href);
