import { copyFileSync, cpSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isFull, needs } from '../../packages/lamplighter/src/needs.fixture.js';
import { builtDeb } from './deb.fixture.js';
import { Debian, needsDebian } from './debian.fixture.js';
import { fetched, LONGEST_SETUP_MS, ran, ROOT, temporaryFolder } from './packed.fixture.js';

const CONTAINER = path.join(ROOT, 'packaging/container');
const CONTAINERFILE = readFileSync(path.join(CONTAINER, 'Containerfile'), 'utf8');
const linter = fetched('dockerfile-utils', '0.16.3');

/** The instructions of the last stage, in their order, each on one line. */
const FINAL =
  CONTAINERFILE.replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n')
    .split(/^(?=FROM )/m)
    .at(-1)
    ?.split('\n')
    .map((line) => line.trim()) ?? [];
const instruction = (name: string): string | undefined =>
  FINAL.findLast((line) => line.startsWith(`${name} `))?.slice(name.length + 1);

describe('the definition of the image', () => {
  it.skipIf(linter === undefined)('pleases a linter, which finds what is wrong', () => {
    interface Linter {
      validate(text: string): { message: string }[];
    }
    const found = createRequire(import.meta.url)(linter ?? '') as Linter;
    expect(found.validate(CONTAINERFILE)).toEqual([]);
    expect(found.validate(CONTAINERFILE.replace('EXPOSE 9443', 'EXPOSE nine'))).not.toEqual([]);
  });

  it('begins with nothing, runs as a number that is not root, and needs no shell', () => {
    expect(FINAL[0]).toBe('FROM scratch');
    expect(instruction('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    for (const name of ['ENTRYPOINT', 'CMD'])
      expect(JSON.parse(instruction(name) ?? ''), name).toBeInstanceOf(Array);
    expect(instruction('HEALTHCHECK')).toMatch(/--timeout=\d+s .*CMD \["\//);
    expect(CONTAINERFILE).not.toMatch(/^(ADD|ONBUILD) /m);
    // Whatever is secret comes at run time.
    expect(CONTAINERFILE).not.toMatch(/(KEY|TOKEN|PASSWORD|SECRET)/i);
  });

  it('pins what it is made with by a tag', () => {
    expect(/^ARG BASE=.*$/m.exec(CONTAINERFILE)?.[0]).toMatch(/:[a-z0-9.-]+$/);
    expect(CONTAINERFILE).not.toContain(':latest');
  });
});

needs('shellcheck')('the steps that make the image', () => {
  it('please shellcheck, as do those of the package', () => {
    const scripts = ['container/rootfs.sh', 'deb/postinst', 'deb/prerm', 'deb/postrm', 'debian-base.sh'];
    ran(
      'shellcheck',
      scripts.map((script) => path.join(ROOT, 'packaging', script)),
    );
  });
});

/** Runs a command as an engine would: the image read-only, a user without privileges, volumes for what changes. */
const AS_ENGINE = `
set -eu
mount --bind /tmp/image /tmp/image
mount -o remount,bind,ro /tmp/image
mount -t proc proc /tmp/image/proc
mount --rbind /dev /tmp/image/dev
for volume in var/lib/lamplighter var/lib/lamplighter-node run/lamplighter tmp; do
  mount -t tmpfs -o mode=700,uid=65532,gid=65532 tmpfs /tmp/image/$volume
done
`;
const AS_USER = 'setpriv --no-new-privs chroot --userspec=65532:65532 --groups=65532 /tmp/image';

needsDebian('the image, made by its steps on a bare Debian 12', () => {
  const { folder, remove } = temporaryFolder();
  let debian: Debian;
  afterAll(async () => {
    await debian?.end();
    remove();
  });

  beforeAll(async () => {
    debian = await Debian.boot(path.join(folder, 'machine'), {
      'lamplighter.deb': builtDeb(path.join(folder, 'built')),
      'rootfs.sh': path.join(CONTAINER, 'rootfs.sh'),
      'health.mjs': path.join(CONTAINER, 'health.mjs'),
    });
    await debian.succeed('sh /mnt/rootfs.sh /mnt/lamplighter.deb /tmp/image');
  }, 2 * LONGEST_SETUP_MS);

  it('is small: no shell, no package manager, nothing set-user-id, nothing for systemd', async () => {
    const programs = await debian.succeed(
      'cd /tmp/image; find . -type f -perm /111 ! -name "*.so*" -printf "%P\\n" | sort',
    );
    expect(programs.split('\n')).toEqual([
      'usr/lib/lamplighter/node_modules/lamplighter/bin/lamplighter.js',
      'usr/lib/lamplighter/runtime',
    ]);
    expect(await debian.succeed('find /tmp/image -perm /6000')).toBe('');
    expect(await debian.succeed('find /tmp/image -name "*systemd*" -path "*/lib/systemd*"')).toBe('');
    expect(Number(await debian.succeed('du -sm /tmp/image | cut -f1'))).toBeLessThan(140);
  });

  it('is the same when it is made again', async () => {
    const sums = (at: string): string =>
      `cd ${at}; find . -type f -exec sha256sum {} + | sort; find . -printf '%p %m %U %T@ %l\\n' | sort`;
    await debian.succeed('sh /mnt/rootfs.sh /mnt/lamplighter.deb /tmp/again');
    expect(await debian.succeed(sums('/tmp/again'))).toBe(await debian.succeed(sums('/tmp/image')));
    await debian.succeed('rm -r /tmp/again');
  });

  it('a node runs in it, read-only and as nobody in particular, and its health check says so', async () => {
    const check = instruction('HEALTHCHECK')?.split(' CMD ')[1] ?? '';
    const [entry, command] = ['ENTRYPOINT', 'CMD'].map(
      (name) => JSON.parse(instruction(name) ?? '') as string[],
    );
    const health = (JSON.parse(check) as string[]).join(' ');
    const said = await debian.succeed(`
      unshare --mount sh -c '${AS_ENGINE}
      touch /tmp/image/etc/x 2>/dev/null && exit 9
      ${AS_USER} ${health} 2>/dev/null && exit 8
      ${AS_USER} ${[...(entry ?? []), ...(command ?? [])].join(' ')} 2>/tmp/log & node=$!
      for i in $(seq 100); do
        if ${AS_USER} ${health} 2>/dev/null; then healthy=yes; break; fi
        sleep 0.2
      done
      ${AS_USER} ${entry?.join(' ')} status --json
      kill $node; wait $node
      echo "healthy: \${healthy:-no}"'`);
    expect(said).toContain('"state": "ready"');
    expect(said).toMatch(/healthy: yes$/);
  });

  it('an agent runs in it, whose relay does not answer: it hands the kernel what it has by itself', async () => {
    const state = '/var/lib/lamplighter';
    const config = {
      tls: { ca: `${state}/ca.pem`, cert: `${state}/web-1.pem`, key: `${state}/web-1.key` },
      relays: [{ name: 'relay', url: 'https://127.0.0.1:1' }],
      deadlineMs: 1_000,
    };
    const said = await debian.succeed(`
      echo '${JSON.stringify(config)}' >/tmp/agent.json
      unshare --mount sh -c '${AS_ENGINE}
      cp /tmp/agent.json /tmp/image${state}/agent.json
      ${AS_USER} /usr/bin/lamplighter ca init ${state}/ca
      ${AS_USER} /usr/bin/lamplighter ca issue --ca ${state}/ca --role machine --name web-1 --out ${state}
      code=0
      ${AS_USER} /usr/bin/lamplighter agent --once --config ${state}/agent.json || code=$?
      test -s /tmp/image/run/lamplighter/agent.json
      echo "ended with $code"'`);
    expect(said).toMatch(/ended with 2$/);
  });
});

describe.skipIf(process.getuid?.() !== 0 || !isFull)('(needs root, in full runs)', () => {
  needs(
    'buildah',
    'debootstrap',
    'dpkg-deb',
  )('the image, built by an engine', () => {
    const { folder, remove } = temporaryFolder();
    const store = ['--storage-driver', 'vfs', '--root', `${folder}/store`, '--runroot', `${folder}/run`];
    const buildah = (...args: readonly string[]): string => ran('buildah', [...store, ...args]).stdout.trim();
    afterAll(() => {
      buildah('rm', '--all');
      buildah('rmi', '--all', '--force');
      remove();
    });

    it(
      'is what its definition says, and runs',
      () => {
        const debian = ran('sh', [path.join(ROOT, 'packaging/debian-base.sh')]).stdout.trim();
        const bare = buildah('from', 'scratch');
        buildah('add', '--quiet', bare, debian, '/');
        buildah('commit', '--quiet', bare, 'localhost/debian:12');

        const context = path.join(folder, 'context');
        cpSync(CONTAINER, path.join(context, 'packaging/container'), { recursive: true });
        copyFileSync(builtDeb(path.join(folder, 'built')), path.join(context, 'lamplighter.deb'));
        const args = ['--build-arg', 'BASE=localhost/debian:12', '--build-arg', 'DEB=lamplighter.deb'];
        const how = ['--isolation', 'chroot', '--format', 'docker', '--pull-never', ...args];
        const file = path.join(context, 'packaging/container/Containerfile');
        buildah('bud', ...how, '--file', file, '--tag', 'localhost/lamplighter', context);

        const { Docker } = JSON.parse(buildah('inspect', '--type', 'image', 'localhost/lamplighter')) as {
          Docker: { config: { User: string; Healthcheck: { Test: string[] } } };
        };
        expect(Docker.config.User).toBe(instruction('USER'));
        expect(Docker.config.Healthcheck.Test).toContain('/usr/lib/lamplighter/health.mjs');
        const container = buildah('from', '--pull-never', 'localhost/lamplighter');
        const run = (...command: readonly string[]): string =>
          buildah('run', '--isolation', 'chroot', container, '--', ...command);
        expect(run('/usr/bin/lamplighter', '--version')).toMatch(/^lamplighter \d/);
        expect(run('/usr/lib/lamplighter/runtime', '-p', 'process.getuid()')).toBe('65532');
      },
      LONGEST_SETUP_MS,
    );
  });
});
