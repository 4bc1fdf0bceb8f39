import { setMaxListeners } from 'node:events';
import { Accumulator, LamplighterError } from '@lamplighter/core';
import { loadTlsFiles, type TlsMaterial, type TlsOptions } from '../identity/tls-files.js';
import { type Environment, monotonicMs } from '../local/environment.js';
import { CloneWatch } from '../local/clone-watch.js';
import { abortBy } from '../local/linked-abort.js';
import { type NativeDoors, systemNative } from '../local/native-doors.js';
import { type ProcessEnvironment, systemProcess } from '../local/process-environment.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { raiseStartNumber } from '../local/start-number.js';
import { openStream, type Stream } from '../local/stream.js';
import { FOLDER_MODES } from '../outlets/egd/egd.js';
import type { OutletContext } from '../outlets/outlet.js';
import { basisToWords } from '../wire/basis.js';
import { fleetReasons } from '../wire/fleet-status.js';
import { Listener, type ListenerOptions } from '../wire/listener.js';
import { OutgoingConnections } from '../wire/outgoing.js';
import { reasonOf } from '../wire/reason.js';
import { SOFTWARE } from '../wire/software.js';
import { type NodeStatus, type Reason, STATUS_VERSION } from '../wire/status.js';
import { type AdminServer, startAdmin } from './admin/admin.js';
import { Carriers } from './carriers/carriers.js';
import { changedEntries, refuseFixedChanges } from './config-change.js';
import type { NodeConfig } from './config.js';
import { Fleet } from './fleet/fleet.js';
import { Guests } from './guests.js';
import { eventBudget } from './event-budget.js';
import { EventLog } from './event-log.js';
import { History } from './history.js';
import { type Log, logEvents } from './log.js';
import { NodeSeed } from './node-seed.js';
import { NodeOutlets } from './node-outlets.js';
import { CLIENT_INPUT_NUMBER, NodeSources, RESUME_NUMBER } from './node-sources.js';
import type { OutletFactory } from './outlet-kinds.js';
import { judge, outletReasons, type Readiness, withComplaints } from './readiness.js';
import { Rest } from './rest.js';
import { seed } from './seeding.js';
import { watchStates } from './watch.js';

/** Readiness is asked for with every beacon; the parts it is judged by change far more slowly. */
const READINESS_FRESH_NS = 200_000_000n;
/** For everything together: a node is gone within 2 s. */
const STOP_DEADLINE_MS = 1_500;
/** A beacon asked for at a resume. */
const RESUME_DEADLINE_MS = 5_000;

export interface NodeOptions {
  readonly environment: Environment;
  /** The real ones unless told. */
  readonly process?: ProcessEnvironment;
  readonly native?: NativeDoors;
  readonly log: Log;
  /** Where the configuration came from, for the status. */
  readonly file: string;
}

/**
 * A node: hears from sources, mixes them into one accumulator, speaks through outlets. Office, relay and VM host are
 * this same class, told apart only by their configuration.
 */
export class Node {
  readonly #options: NodeOptions;
  readonly #accumulator: Accumulator;
  readonly #rest: Rest;
  readonly #events: EventLog;
  readonly #history: History;
  readonly #native: NativeDoors;
  readonly #clones: CloneWatch;
  readonly #outgoing: OutgoingConnections;
  readonly #seed: NodeSeed;
  readonly #sources: NodeSources;
  /** All that clients push in, whatever the outlet: one source, one budget. */
  readonly #clientInput: ReturnType<typeof eventBudget>;
  readonly #startedAtNs: bigint;
  readonly #stopping = new AbortController();
  /** Fires after outlets had their time to drain. */
  readonly #cutting = new AbortController();
  readonly #seeded: Promise<void>;
  readonly #outlets: NodeOutlets;
  readonly #guests: Guests | undefined;
  #settleSeeded: { resolve(): void; reject(error: unknown): void } = { resolve() {}, reject() {} };
  #config: NodeConfig;
  #tls: TlsMaterial | undefined;
  #listener: Listener | undefined;
  #carriers: Carriers | undefined;
  #fleet: Fleet | undefined;
  #bound: { host: string; port: number } | undefined;
  #admin: AdminServer | undefined;
  /** The draw box's own. */
  #drawing: Stream | undefined;
  #startNumber: bigint | undefined;
  #watch: { cancel(): void } | undefined;
  #waitingFor: Reason | undefined;
  #readiness: { atNs: bigint; value: Readiness } | undefined;
  #reloads = 0;
  #reloading: Promise<void> = Promise.resolve();
  #reloadError: Reason | undefined;
  #stopped: Promise<void> | undefined;

  /** Makes a node from a valid configuration. Nothing is opened before {@link Node.start}. */
  constructor(config: NodeConfig, options: NodeOptions) {
    const { environment } = options;
    this.#config = config;
    this.#options = options;
    this.#startedAtNs = environment.monotonicNs();
    this.#events = new EventLog(environment);
    logEvents(this.#events, options.log);
    this.#history = new History({
      environment,
      status: () => this.status(),
      clients: () => this.#fleet?.gate.taken() ?? [],
    });
    this.#rest = new Rest(environment, {
      numbered: (source) => this.#sources.numbered(source),
      labelled: (label) => this.#sources.labelled(label),
    });
    this.#accumulator = new Accumulator({
      schedule: config.schedule,
      monotonicMs: () => monotonicMs(environment),
      onReseed: (reseed) => this.#rest.note(reseed),
    });
    this.#clientInput = eventBudget(environment, (event) =>
      this.#accumulator.add(CLIENT_INPUT_NUMBER, event),
    );
    const process = options.process ?? systemProcess();
    this.#native = options.native ?? systemNative;
    this.#seed = new NodeSeed(new SeedKeeper(config.state, { environment, native: this.#native, process }), {
      accumulator: this.#accumulator,
      environment,
      log: options.log,
    });
    this.#outgoing = new OutgoingConnections(environment, () => this.#clones.look());
    this.#sources = new NodeSources(this.#accumulator, environment, {
      // Sources make their connections where a resume can cut them.
      environment: { ...environment, connect: (endpoint) => this.#outgoing.connect(endpoint) },
      tls: () => this.#needTls(),
    });
    this.#clones = new CloneWatch({
      accumulator: this.#accumulator,
      environment,
      process,
      native: this.#native,
      hear: (bytes) => this.#accumulator.add(RESUME_NUMBER, bytes),
      cut: () =>
        (this.#listener?.cut() ?? 0) +
        (this.#admin?.cut() ?? 0) +
        this.#outlets.cut() +
        (this.#fleet?.cut() ?? 0) +
        this.#outgoing.cut(),
      rotateSeed: () => this.#seed.renew(),
      fetchBeacons: () => {
        const { signal, release } = abortBy(this.#stopping.signal, RESUME_DEADLINE_MS, environment.timers);
        void this.#sources.fetchBeacons(signal).finally(release);
      },
      onResume: (resume) => {
        const { sign, os } = resume;
        const text = `this machine was cloned, restored or asleep (${sign}); the OS RNG: ${os}`;
        this.#events.add({ level: 'warn', part: 'node', text });
        this.#outlets.resume();
      },
    });
    this.#outlets = new NodeOutlets({
      factory: () => this.#outletFactory(),
      context: (name) => this.#contextOf(name),
      cut: this.#cutting.signal,
    });
    const { guests } = config;
    this.#guests =
      guests &&
      new Guests({
        ...guests,
        folderMode: FOLDER_MODES[guests.folderMode],
        environment,
        onResumed: (guest) => (this.#accumulator.seeded ? this.#outlets.resume(guest) : undefined),
      });
    this.#seeded = new Promise((resolve, reject) => {
      this.#settleSeeded = { resolve, reject };
    });
    // As many listen as there are parts.
    setMaxListeners(0, this.#stopping.signal, this.#cutting.signal);
    // Who waits for it hears of a rejection; when nobody waits it is no fault.
    this.#seeded.catch(() => undefined);
  }

  /**
   * Opens the listeners, starts every source and outlet, and begins to seed. Returns when all are under way; until the
   * node is seeded it answers "not ready".
   * @throws LamplighterError `fix-configuration`; everything opened is closed again
   */
  async start(): Promise<void> {
    const { environment } = this.#options;
    const { tls, listen, carriers, state, authority, sources, outlets } = this.#config;
    try {
      // The CA renews itself, however long it was off.
      this.#tls = tls && (await loadTlsFiles(tls, { evenIfExpired: authority?.folder !== undefined }));
      this.#startNumber = await raiseStartNumber(environment, state);
      // Before the first TLS context is made.
      await this.#seed.open();
      if (tls) this.#fleet = this.#newFleet(tls);
      if (this.#tls && this.#fleet && (listen || carriers.length > 0))
        this.#listener = new Listener(this.#tls, { ...this.#listening(), gate: this.#fleet.gate });
      // Who is revoked is known before anybody is let in.
      await this.#fleet?.start(this.#listener);
      const runners = sources.map((entry) => this.#sources.make(entry));
      // Outlets first: a VM that finds nobody listening does not start; what is asked waits until the node is seeded.
      for (const outlet of outlets.map((entry) => this.#outlets.make(entry)))
        await this.#outlets.start(outlet);
      await this.#guests?.start();
      for (const runner of runners) await this.#sources.start(runner);
      // Whoever asks how the node is sees every part of it.
      this.#admin = await this.#startAdmin();
      if (listen) this.#bound = await this.#listener?.listen(listen);
      await this.#startCarriers();
      await this.#fleet?.serve(this.#beaconPort());
      this.#watch = watchStates(environment, this.#events, () => this.status());
      this.#history.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    const text = `${SOFTWARE} started, start ${this.#startNumber}, dashboard ${this.#admin.url}`;
    this.#events.add({ level: 'info', part: 'node', text });
    this.#seed.tell();
    void this.#firstSeeding();
  }

  /** Resolves when the node is first seeded; rejects with ERR_STOPPED when it stops before that. */
  ready(): Promise<void> {
    return this.#seeded;
  }

  /**
   * Follows a new configuration: parts that changed are stopped and started anew, the rest go on untouched, and new
   * handshakes use the certificates as they are on disk now. One reload waits for the one before it.
   * @param load - reads and validates it
   * @throws LamplighterError when it cannot be loaded or followed; the node then goes on as before, and its status says why
   */
  reload(load: () => Promise<NodeConfig>): Promise<void> {
    const reloading = this.#reloading.then(() => this.#reload(load));
    this.#reloading = reloading.catch(() => undefined);
    return reloading;
  }

  async #reload(load: () => Promise<NodeConfig>): Promise<void> {
    try {
      const config = await load();
      if (this.#stopping.signal.aborted) return;
      refuseFixedChanges(this.#config, config);
      const tls = config.tls && (await loadTlsFiles(config.tls));
      const sources = changedEntries(this.#config.sources, config.sources);
      const outlets = changedEntries(this.#config.outlets, config.outlets);
      // Whatever can refuse does so here, before anything that works is stopped.
      const freshRunners = sources.fresh.map((entry) => this.#sources.make(entry));
      const freshOutlets = outlets.fresh.map((entry) => this.#outlets.make(entry));

      for (const name of outlets.gone) await this.#outlets.stop(name, STOP_DEADLINE_MS);
      for (const name of sources.gone) await this.#sources.stop(name);
      this.#config = config;
      if (tls) this.#useTls(tls);
      for (const runner of freshRunners) await this.#sources.start(runner);
      for (const outlet of freshOutlets) await this.#outlets.start(outlet);
      // Last: a file that is not good must leave nothing half done.
      await this.#outlets.reloadTls();
      await this.#admin?.reloadTls(this.#tls);
      this.#reloads += 1;
      this.#reloadError = undefined;
      this.#events.add({ level: 'info', part: 'configuration', text: 'it was reloaded' });
    } catch (error) {
      const reason = reasonOf(error);
      this.#reloadError = reason;
      const text = 'it was not reloaded; the old one stays';
      this.#events.add({ level: 'error', part: 'configuration', text, reason });
      throw error;
    }
  }

  /**
   * Somebody says that this machine was cloned, restored or asleep: all that DESIGN 6.4 asks for, now.
   * @throws LamplighterError ERR_NOT_SEEDED before the node is seeded: there is nothing yet that could repeat
   */
  resume(): void {
    this.#clones.resume();
  }

  /** The whole truth, now. */
  status(): NodeStatus {
    const { environment, file } = this.#options;
    const accumulator = this.#accumulator;
    // Never the judgement of a moment ago: it would contradict the sources listed beside it.
    this.#readiness = undefined;
    const outlets = this.#outlets.status();
    const fleet = this.#fleet?.status();
    const complaints = [...outletReasons(outlets), ...(fleet ? fleetReasons(fleet) : [])];
    const { state, reasons, basis } = withComplaints(this.#judge(), complaints);
    return {
      version: STATUS_VERSION,
      name: this.#config.name,
      software: SOFTWARE,
      pid: process.pid,
      state: this.#stopping.signal.aborted ? 'stopping' : state,
      reasons,
      uptimeMs: Number((environment.monotonicNs() - this.#startedAtNs) / 1_000_000n),
      basis: basisToWords(basis),
      ...(this.#bound && { listen: this.#bound }),
      generator: {
        schedule: this.#config.schedule,
        seeded: accumulator.seeded,
        reseeds: accumulator.reseedCount,
        directReseeds: accumulator.directReseedCount,
        ...(this.#rest.lastReseed !== undefined && { lastReseed: this.#rest.lastReseed }),
        pools: accumulator.pools.map(({ lengthBytes, drainCount }) => ({
          bytes: lengthBytes,
          drains: drainCount,
        })),
        ...(accumulator.tick !== undefined && { tick: accumulator.tick }),
      },
      rest: this.#rest.status(),
      ...(this.#listener && { listener: this.#listener.status() }),
      residentMemoryBytes: process.memoryUsage.rss(),
      hedge: this.#seed.status(),
      ...(this.#clones.status && { resume: this.#clones.status }),
      ...(this.#config.carriers.length > 0 && { carriers: this.#carriers?.status() ?? [] }),
      ...(fleet && { fleet }),
      ...(this.#guests && { guests: this.#guests.status() }),
      sources: this.#sources.status(),
      outlets,
      configuration: {
        file,
        reloads: this.#reloads,
        ...(this.#reloadError && { reloadError: this.#reloadError }),
      },
    };
  }

  /** Drains the outlets, stops the sources, closes every listener; resolves when all is let go. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    this.#settleSeeded.reject(new LamplighterError('ERR_STOPPED', 'the node is stopping'));
    this.#watch?.cancel();
    this.#history.stop();
    const unwatched = this.#clones.stop();
    // What it starts must be there to be stopped.
    await this.#reloading;
    const { environment } = this.#options;
    const lateNs = environment.monotonicNs() + BigInt(STOP_DEADLINE_MS) * 1_000_000n;
    await this.#guests?.stop();
    await this.#outlets.stopAll(STOP_DEADLINE_MS);
    this.#cutting.abort();
    await Promise.all([
      this.#listener?.stop(Math.max(0, Number((lateNs - environment.monotonicNs()) / 1_000_000n))),
      this.#fleet?.stop(STOP_DEADLINE_MS),
      this.#sources.stopAll(),
    ]);
    await this.#carriers?.stop();
    await this.#admin?.stop();
    this.#drawing?.close();
    await unwatched;
    await this.#seed.stop();
    this.#clientInput.close();
    this.#accumulator.destroy();
  }

  #startAdmin(): Promise<AdminServer> {
    const { environment, log } = this.#options;
    const { admin, state } = this.#config;
    return startAdmin(
      {
        ...admin,
        state,
        environment,
        log,
        own: this.#tls,
        admit: (peer) => this.#fleet?.gate.admit(peer),
        before: () => this.#clones.look(),
      },
      {
        status: () => this.status(),
        history: (span) => this.#history.report(span),
        events: this.#events,
        draw: (lengthBytes) => {
          this.#drawing ??= openStream(this.#clones.root, environment, 'draw');
          return this.#drawing.read(lengthBytes);
        },
        camera: (name) => this.#sources.camera(name),
      },
    );
  }

  async #startCarriers(): Promise<void> {
    const listener = this.#listener;
    if (listener === undefined) return;
    const { environment } = this.#options;
    this.#carriers = new Carriers(this.#config.carriers, {
      environment,
      accept: (connection) => listener.accept(connection),
    });
    await this.#carriers.start();
  }

  async #firstSeeding(): Promise<void> {
    const { environment } = this.#options;
    try {
      await seed(this.#accumulator, () => this.#sources.all, {
        environment,
        deadlineMs: this.#config.seedDeadlineMs,
        signal: this.#stopping.signal,
        seed: this.#seed.part,
        onWaiting: (reason) => {
          this.#waitingFor = reason;
          this.#events.add({ level: 'warn', part: 'node', text: 'not seeded yet', reason });
        },
      });
      this.#seed.seeded();
      this.#clones.start();
      this.#readiness = undefined;
      this.#settleSeeded.resolve();
      const basis = basisToWords(this.#judge().basis).join(', ');
      const text = `seeded${basis === '' ? '' : `; basis: ${basis}`}`;
      this.#events.add({ level: 'info', part: 'node', text });
    } catch (error) {
      if (!this.#stopping.signal.aborted) {
        this.#events.add({ level: 'error', part: 'node', text: 'seeding failed', reason: reasonOf(error) });
      }
      this.#settleSeeded.reject(error);
    }
  }

  #newFleet(tls: TlsOptions): Fleet {
    const { environment, log } = this.#options;
    const { name, state, authority, quotas, audit } = this.#config;
    return new Fleet(
      { state, authority, quotas, audit },
      {
        environment,
        native: this.#native,
        log,
        origin: {
          software: SOFTWARE,
          node: name,
          start: this.#needStartNumber(),
          instanceId: environment.osRandom(16),
        },
        connect: (endpoint) => this.#outgoing.connect(endpoint),
        // A reload neither takes it away nor brings it.
        paths: () => this.#config.tls ?? tls,
        tls: () => this.#needTls(),
        onTls: (material) => {
          this.#useTls(material);
          this.#outlets
            .reloadTls()
            .catch((error: unknown) =>
              log.warn({ reason: reasonOf(error) }, 'an outlet keeps its old certificate'),
            );
          this.#admin
            ?.reloadTls(material)
            .catch((error: unknown) =>
              log.warn({ reason: reasonOf(error) }, 'the admin listener keeps its old certificate'),
            );
        },
        listening: this.#listening(),
      },
    );
  }

  /** What every listener of this node is made with. */
  #listening(): Pick<ListenerOptions, 'onError' | 'before'> {
    return {
      onError: (error: unknown) => this.#options.log.error({ reason: reasonOf(error) }, 'a request failed'),
      before: () => this.#clones.look(),
    };
  }

  /** New handshakes use it from now on, in both directions. */
  #useTls(tls: TlsMaterial): void {
    this.#tls = tls;
    this.#listener?.replaceTls(tls);
    this.#fleet?.replaceTls(tls);
  }

  /** Where machines that enrol here find beacons. */
  #beaconPort(): number | undefined {
    return this.#config.outlets.some(({ kind }) => kind === 'beacon') ? this.#bound?.port : undefined;
  }

  #outletFactory(): OutletFactory {
    const { environment } = this.#options;
    return {
      environment,
      native: this.#native,
      tls: () => this.#needTls(),
      listening: this.#listening(),
      // One instance id an outlet: a reload that makes it anew begins another count.
      start: { number: this.#needStartNumber(), instanceId: environment.osRandom(16) },
      audit: this.#fleet?.audit,
      listener: () => {
        if (this.#listener === undefined) throw new LamplighterError('ERR_CONFIG', 'listen: missing');
        return this.#listener;
      },
    };
  }

  #contextOf(name: string): OutletContext {
    return {
      stream: (label) => openStream(this.#clones.root, this.#options.environment, `${name}/${label}`),
      readiness: () => this.#judge(),
      ready: () => this.#seeded,
      hear: (uncreditedBytes) => this.#clientInput.hear(uncreditedBytes),
    };
  }

  #judge(): Readiness {
    const nowNs = this.#options.environment.monotonicNs();
    if (this.#readiness === undefined || nowNs - this.#readiness.atNs > READINESS_FRESH_NS) {
      const value = judge(
        this.#accumulator.seeded,
        this.#waitingFor,
        this.#sources.status(),
        this.#sources.everSimulated,
      );
      this.#readiness = { atNs: nowNs, value };
    }
    return this.#readiness.value;
  }

  #needStartNumber(): bigint {
    if (this.#startNumber === undefined) throw new TypeError('the start number is raised first');
    return this.#startNumber;
  }

  #needTls(): TlsMaterial {
    if (this.#tls === undefined) throw new LamplighterError('ERR_CONFIG', 'tls: missing');
    return this.#tls;
  }
}
