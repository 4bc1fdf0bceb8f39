import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { reasonOfFaults } from './fault-reasons.js';
import type { CameraCalibration } from './health/calibration.js';
import { Calibrator } from './health/calibrator.js';
import { HEALTH_HEIGHT, HEALTH_WIDTH } from './health/picture.js';
import { type Observation, type ObservationOptions, observeCamera } from './observation.js';

/** What was learned of a camera. */
export interface Learned {
  readonly calibration: CameraCalibration;
  /** Line by line what was chosen, and why. */
  readonly reasons: readonly string[];
  /** The calibration as a file. */
  readonly text: string;
}

/**
 * Learns what is normal for a camera, while it films what it shall film.
 * @param options - `seconds`: how long a live camera is looked at, or how much of a recording
 * @throws LamplighterError with the code of the fault when the camera was not healthy all the time: nothing is learned from
 *   such a one; as {@link Calibrator.finish} when there was too little video, or of noise; ERR_CONFIG, ERR_STOPPED as
 *   {@link observeCamera}
 */
export async function calibrateCamera(
  options: Omit<ObservationOptions, 'onPicture' | 'calibration'> & { readonly seconds: number },
  environment: Environment,
  signal: AbortSignal,
): Promise<Learned> {
  const calibrator = new Calibrator();
  const observation = await observeCamera(
    {
      ...options,
      onPicture: ({ luma, sourceWidth, sourceHeight }, timeMs) => {
        const size = { width: HEALTH_WIDTH, height: HEALTH_HEIGHT, sourceWidth, sourceHeight };
        calibrator.see({ ...size, luma, timeMs });
      },
    },
    environment,
    signal,
  );
  refuseUnhealthy(observation);
  const { calibration, reasons } = calibrator.finish();
  return { calibration, reasons, text: `${JSON.stringify(calibration, null, 2)}\n` };
}

/** That a camera has less noise than most is what calibration is for; everything else is put right first. */
function refuseUnhealthy({ faults, error }: Observation): void {
  const reason = error ?? reasonOfFaults(faults.filter((fault) => fault !== 'low-noise'));
  if (reason === undefined) return;
  const { code, message, hint } = reason;
  const text = `nothing is learned from a camera that is not healthy: ${message}`;
  throw new LamplighterError(code, text, hint === undefined ? {} : { hint });
}
