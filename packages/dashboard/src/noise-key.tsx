import { NOISE_LEGEND } from './noise-legend.js';

/** What the colours of a noise map mean. */
export function NoiseLegend() {
  return (
    <figcaption>
      <span class="quiet">How much each place moves by itself, in levels of 255:</span>
      <ul class="legend">
        {NOISE_LEGEND.map(({ colour, levels, words }) => (
          <li key={levels}>
            <i style={{ background: colour }} aria-hidden="true" /> {levels}{' '}
            <span class="quiet">{words}</span>
          </li>
        ))}
      </ul>
    </figcaption>
  );
}
