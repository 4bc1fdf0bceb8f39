/**
 * Every number that a health verdict depends on, and where it is from.
 *
 * "Measured" means: over 70 recipes of ffmpeg video (lamps, dark rooms, flicker; stills, patterns, animations) at 320×240 to
 * 1280×720, 10 to 30 pictures a second, noise of strength 4 to 40 and none, raw and through libx264 at crf 23, MJPEG at fixed
 * and at default rate, and MPEG-4 part 2; and over our own virtual wall. Levels are of 255.
 */
export const THRESHOLDS = {
  // ── light ──
  /** A pixel up to this is dark: video black (16) plus the noise of a capped sensor. */
  darkLevel: 24,
  /** A pixel from this on is clipped: video white (BT.601 and BT.709: 235). */
  clippedLevel: 235,
  /** So much of the picture clipped is blind. A bulb in each lamp clips some 10 %; half a frame is a fault. */
  blindShare: 0.35,
  /**
   * So much of the picture black without noise is dark, flat without noise is flat. The frame half covered is 0.5, less the
   * cells on the border; LavaRnd's share of octets outside the commonest values, ≥ 0.557, forbids the same.
   */
  deadShare: 0.42,
  /** A cell is featureless when so many of its pixels lie on a straight line with their neighbours, to one level. */
  smoothPixelShare: 0.9,

  // ── frozen, overlay-only ──
  /** How far back frozen looks, ms; never fewer than {@link THRESHOLDS.frozenPictures} pictures. The fault is due within 10 s. */
  frozenWindowMs: 5_000,
  frozenPictures: 4,
  /**
   * A cell is alive when it changed in more than so many of the window's pictures. A still scene re-encoded changes at key
   * frames only (at most 1 in 12 with codecs' defaults); a 5 Hz sensor in a 30 Hz stream changes 1 in 6.
   */
  aliveShare: 0.1,
  /** A change by so many levels is an event of its own, as a digit of a clock is: re-encoding a still moves it by up to 6. */
  eventLevels: 12,
  /** The picture is frozen when fewer cells than this are alive: one of 192 may be a stuck pixel. */
  frozenCellShare: 0.006,
  /** … and frozen but for an overlay when fewer than this are: a clock line across the picture is 6 to 12 %. */
  overlayCellShare: 0.17,

  // ── noise ──
  /** How much time goes by between two analysed pictures at the least, ms: five a second are enough for everything but replay. */
  analysisPeriodMs: 190,
  /** Noise is the difference to the picture of so long ago, ms: codecs repeat what they have skipped, so neighbours say little. */
  noiseLagMs: 900,
  /** Half the window that noise is judged over, ms. */
  noiseHalfWindowMs: 2_500,
  /** A cell whose mean wanders by less (SD, flicker taken off) is static. */
  staticLevels: 0.5,
  /**
   * Noise (SD) that a static cell must show. Noise-free static cells measured 0 to 0.08; the least of a camera whose noise was
   * nearly all eaten by the codec 0.17.
   */
  staticNoise: 0.12,
  /** … and when only flicker moves it: the rounding of a changing level is 0.29, twice rounded 0.44, measured up to 0.6. */
  flickerNoise: 0.75,
  /**
   * Noise (robust SD, from the median) that a moving cell must show. Rounding and codec noise of a smooth animation measured up
   * to 1.16, a camera's at strength 8 through crf 23 from 1.0 where it moves.
   */
  movingNoise: 1.2,
  /** So many of all cells with noise are enough … */
  noisyShare: 0.7,
  /** … or so many of the static ones, if at least {@link THRESHOLDS.staticCells} are static: there codec and motion hide nothing. */
  noisyStaticShare: 0.6,
  staticCells: 10,
  /**
   * Noise of SD σ leaves a share of 0.28 / σ of the pixels as they were. So many times that, plus 0.15, is no noise but a few
   * levels being switched (cellular automata measured 20 to 50 times).
   */
  unchangedFactor: 4,
  unchangedFromNoise: 3,

  // ── SP 800-90B ──
  /** α = 2^-40: 100,000 bits a second are looked at, so 2^-20 would alarm falsely every ten seconds. */
  alphaLog2: -40,
  /**
   * H of one bit LSB(Y[t]) xor LSB(Y[t - 1 s]), until calibrated. Codecs leave most pixels as they were: the worst camera that is
   * called healthy (a dark room through crf 23) measured 0.05 bits as a most common value.
   */
  minEntropyBits: 0.02,
  /** W for binary sources. Source: SP 800-90B, section 4.4.2. */
  aptWindowSize: 1024,
  /** Bit tests look at the last so many analysed pictures, and fail when more than half of them did. */
  bitTestPictures: 10,

  // ── replayed ──
  /** Lags below this are not searched, ms: a codec's own prediction connects pictures that near. A shorter loop shows at its multiples. */
  replayMinLagMs: 900,
  /** Pixels that must have changed in both pictures for their agreement to say something. */
  replayMinPixels: 48,
  /**
   * Mean z of a lag over the last {@link THRESHOLDS.replayMemory} searches that is a replay. By chance a mean of 32 is N(0, 0.12):
   * the largest of 9,000 lags measured 0.9 at lags over 1 s. A replay through a codec measured 0.6 to 30 times its own √n.
   */
  replayMeanZ: 1.6,
  replayMemory: 32,

  // ── changed ──
  /** A cell has stepped when its mean over 2 s moved by so many levels and by four times its own wandering. */
  stepLevels: 8,
  stepDeviations: 4,
  stepWindowMs: 2_000,
  /** So many cells stepping at once is a change; a lamp's wax moves 2 to 5 %. */
  stepCellShare: 0.3,
  /** It counts as changed for good when it is still so after this, ms: not a hand before the lens. */
  stepPersistsMs: 2_500,
  /** After so long without another step the new picture is the baseline, ms. */
  rebaselineMs: 60_000,

  // ── stalled ──
  /** Pictures a second below this share of what was learned. Sensors halve their rate in the dark: half is not a fault. */
  stalledRateShare: 0.45,
  /** The window of the rate, ms, and the fewest intervals it spans. */
  rateWindowMs: 5_000,
  rateIntervals: 5,
  /** No picture for this long, ms, or five of its intervals, whichever is longer. */
  silenceMs: 3_000,
  /** Bytes but no picture at all for so long, ms. */
  neverMs: 10_000,

  // ── verdict ──
  /** Too early to say, ms and pictures. */
  unknownMs: 3_000,
  unknownPictures: 5,
  /** A fault ends after so long without it, ms. */
  recoverMs: 15_000,
} as const;
