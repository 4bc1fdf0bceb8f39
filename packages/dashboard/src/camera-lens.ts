/** A camera of this device that is switched on. */
export interface Lens {
  readonly deviceId: string;
  /** What the browser calls it. */
  readonly label: string;
  /** Whether its name says that a program makes its pictures. */
  readonly looksSimulated: boolean;
  readonly video: HTMLVideoElement;
  /** Fires when it is taken away: unplugged, or the permission withdrawn. */
  readonly gone: AbortSignal;
  /** Switches it off. */
  close(): void;
}

/** Another camera that could be used. */
export interface OtherLens {
  readonly deviceId: string;
  readonly label: string;
}

/** Why there is no camera, in words and with what to do. */
export class NoLens extends Error {
  override readonly name = 'NoLens';
}

const SIMULATED_LABEL = /\b(fake|virtual|obs|dummy|simulat|loopback)|fake_device|\.(y4m|mjpeg)$/i;

/** Whether a browser may give a camera to this page at all. */
export const mayFilm = (): boolean => isSecureContext && 'mediaDevices' in navigator;

/**
 * Asks the person for a camera and switches it on.
 * @param deviceId - which one; the one that looks away from the person where there are several, unless told
 * @throws NoLens
 */
export async function openLens(deviceId?: string): Promise<Lens> {
  const which = deviceId === undefined ? { facingMode: 'environment' } : { deviceId: { exact: deviceId } };
  // `none`: the browser shall not make a picture smaller, which would average its noise away.
  const size = {
    width: { ideal: 640 },
    height: { ideal: 480 },
    frameRate: { ideal: 15 },
    resizeMode: 'none',
  };
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...which, ...size } });
  } catch (error) {
    throw new NoLens(whyNot(error));
  }
  const [track] = stream.getVideoTracks();
  const close = (): void => stream.getTracks().forEach((one) => one.stop());
  const video = document.createElement('video');
  Object.assign(video, { muted: true, playsInline: true, srcObject: stream });
  try {
    await video.play();
  } catch {
    close();
    throw new NoLens('The camera was opened, but gives no picture.');
  }
  const ending = new AbortController();
  track?.addEventListener('ended', () => ending.abort());
  const label = track?.label === undefined || track.label === '' ? 'a camera without a name' : track.label;
  return {
    deviceId: track?.getSettings().deviceId ?? '',
    label,
    looksSimulated: SIMULATED_LABEL.test(label),
    video,
    gone: ending.signal,
    close() {
      close();
      video.srcObject = null;
    },
  };
}

/** All cameras of this device; their names are known once one of them was allowed. */
export async function otherLenses(): Promise<readonly OtherLens[]> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter(({ kind }) => kind === 'videoinput')
    .map(({ deviceId, label }, index) => ({ deviceId, label: label === '' ? `camera ${index + 1}` : label }));
}

/** Source: W3C Media Capture and Streams, getUserMedia. */
function whyNot(error: unknown): string {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'The camera was not allowed. Allow it in the browser’s site settings, then press Start again.';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'This device has no such camera.';
    case 'NotReadableError':
    case 'AbortError':
      return 'The camera is in use by another program, or does not work.';
    default:
      return 'The camera could not be opened.';
  }
}
