/**
 * What the colours of a noise map mean. The node draws the map; `e2e/dashboard/noise-legend.test.ts` compares these colours with the ones it
 * draws in.
 */
export const NOISE_LEGEND: readonly {
  readonly colour: string;
  readonly levels: string;
  readonly words: string;
}[] = [
  { colour: '#070215', levels: '0', words: 'the same in every picture, or blown out' },
  { colour: '#3d0345', levels: '0.25', words: 'what rounding and encoding leave' },
  { colour: '#990a53', levels: '1', words: 'faint noise' },
  { colour: '#ec7838', levels: '4', words: 'a sensor’s noise' },
  { colour: '#f9f6e4', levels: '16 and more', words: 'strong noise, or something that moves' },
  { colour: '#54677a', levels: '–', words: 'not counted: masked by the calibration' },
];
