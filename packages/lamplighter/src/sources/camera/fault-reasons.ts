import type { Reason } from '../../wire/status.js';
import type { CameraFault } from './health/camera-health.js';

/** What each fault is called, and what a person can do about it. */
export const FAULT_REASONS: Readonly<Record<CameraFault, Reason>> = {
  dark: {
    code: 'ERR_CAMERA_DARK',
    message: 'the picture is dark',
    hint: 'take off the lens cap, or put the light on',
  },
  blind: {
    code: 'ERR_CAMERA_BLIND',
    message: 'the picture is blown out',
    hint: 'lower the exposure, or turn the camera away from the light',
  },
  flat: {
    code: 'ERR_CAMERA_FLAT',
    message: 'the picture holds next to nothing',
    hint: 'look through the camera: is it covered, out of focus, or showing a test picture',
  },
  frozen: {
    code: 'ERR_CAMERA_FROZEN',
    message: 'the picture does not change',
    hint: 'look through the camera: is it covered, or showing a still picture',
  },
  'overlay-only': {
    code: 'ERR_CAMERA_OVERLAY_ONLY',
    message: 'nothing in the picture changes but a small part of it, such as a clock',
    hint: 'the camera shows a still picture under its overlay: restart it, and look at what it films',
  },
  replayed: {
    code: 'ERR_CAMERA_REPLAYED',
    message: 'pictures come again: this is a recording',
    hint: 'find out who feeds a recording into this camera or its network',
  },
  'low-noise': {
    code: 'ERR_CAMERA_LOW_NOISE',
    message: 'the picture has too little noise for a sensor',
    hint: 'turn off noise reduction in the camera, or raise its quality; a computed picture has none',
  },
  changed: {
    code: 'ERR_CAMERA_CHANGED',
    message: 'size, rate, exposure or view are no longer what they were',
    hint: 'see what was changed at the camera; if it was you, run `lamplighter camera calibrate` again',
  },
  stalled: {
    code: 'ERR_CAMERA_STALLED',
    message: 'no video came in for too long',
    hint: 'check the camera and the way to it',
  },
  gone: {
    code: 'ERR_CAMERA_GONE',
    message: 'the camera was not there',
    hint: 'check that it is on and connected',
  },
};

/**
 * Several faults as one reason: the first one's code and hint, all of their messages.
 * @returns undefined when there are none
 */
export function reasonOfFaults(faults: readonly CameraFault[]): Reason | undefined {
  const reasons = faults.map((fault) => FAULT_REASONS[fault]);
  const [first] = reasons;
  if (first === undefined) return undefined;
  return { ...first, message: reasons.map(({ message }) => message).join('; ') };
}
