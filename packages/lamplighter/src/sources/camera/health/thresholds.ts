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
  /**
   * A cell is featureless when so little (RMS, levels) is left of it without its best plane: rounding leaves 0.3, the bands that a
   * codec makes of a slope up to 2.
   */
  featurelessLevels: 2.5,
  /** The whole picture is featureless when so many of its cells are. */
  featurelessShare: 0.85,

  // ── frozen, overlay-only ──
  /** How far back frozen looks, ms; never fewer than {@link THRESHOLDS.frozenPictures} pictures. The fault is due within 10 s. */
  frozenWindowMs: 5_000,
  frozenPictures: 4,
  /** How long black must show no noise to be called dark, ms: said within 5 s. A sensor in the dark is never silent for so long. */
  darkWindowMs: 3_000,
  /**
   * A cell is alive when it changed in more than so many of the window's pictures. A still scene re-encoded changes at key
   * frames only (at most 1 in 12 with codecs' defaults); a 5 Hz sensor in a 30 Hz stream changes 1 in 6.
   */
  aliveShare: 0.1,
  /** A change by so many levels is an event of its own, as a digit of a clock is: re-encoding a still moves it by up to 6. */
  eventLevels: 12,
  /** The picture is frozen but for an overlay when fewer cells than this are alive: a clock line across it is 6 to 12 %. */
  overlayCellShare: 0.17,

  // ── noise ──
  /** How much time goes by between two analysed pictures at the least, ms: five a second are enough for everything but replay. */
  analysisPeriodMs: 190,
  /** Noise is the difference to the picture of so long ago, ms: codecs repeat what they have skipped, so neighbours say little. */
  noiseLagMs: 900,
  /** Half the window that noise is judged over, ms. */
  noiseHalfWindowMs: 2_500,
  /**
   * How far the mean of a cell wanders (SD, levels): less than this it is still, static, slow; flicker of the whole picture taken
   * off for the last.
   */
  stillLevels: 0.15,
  staticLevels: 0.5,
  slowLevels: 3,
  /**
   * Noise (SD, levels) that such a cell must show. Nine of ten noise-free cells measured up to 0.13 when still, half of them up to
   * 0.2 when static, nine of ten up to 0.93 when slow; cameras whose noise was nearly all eaten by the codec from 0.18, 0.35, 0.95.
   */
  stillNoise: 0.15,
  staticNoise: 0.28,
  slowNoise: 0.95,
  /** … and, in a slow one, at the median too: an edge that goes through a smooth cell measured up to 0.1. */
  slowRobustNoise: 0.12,
  /**
   * Noise (SD from the median, levels) that a moving cell must show. Rounding and codecs gave smooth animations up to 1.28, but
   * less than 1.2 in most of their cells; cameras of strength 8 through crf 23 measured 1.3.
   */
  movingNoise: 1.2,
  /**
   * So many of the cells must show it: of all; or of those that are at least slow; or of the static ones. The calm ones count
   * alone because there neither motion nor the codec's rate hides anything; there must be some of them.
   */
  noisyRules: [
    { of: ['static', 'slow', 'moving'], leastCells: 20, share: 0.7 },
    { of: ['static', 'slow'], leastCells: 40, share: 0.6 },
    { of: ['static'], leastCells: 6, share: 0.6 },
  ],
  /** The noise ratio, 1 being the least of a sensor's, below which noise is low; calibration may set another. */
  noiseRatio: 1,
  /**
   * A sensor's noise is new in every picture; a pattern that moves or grows (cellular automata) changes less from one picture to
   * the next than in a second: measured 0.2 to 0.45, cameras at such noise 0.8 to 1.
   */
  suddenFromNoise: 5,
  leastSuddenness: 0.6,

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
  /**
   * Lags below this are not searched, ms: a codec's own prediction connects pictures that near (mean z up to 1.9 at a second). A
   * shorter loop shows at its multiples.
   */
  replayMinLagMs: 1_900,
  /** Pixels that must have changed in both pictures for their agreement to say something. */
  replayMinPixels: 96,
  /**
   * Mean z of a lag over the last {@link THRESHOLDS.replayMemory} searches that is a replay. By chance such a mean is N(0.3, 0.13):
   * 1.2 is seven deviations off, and the largest of 9,000 lags in 10 minutes measured 0.7. A replay's z is 28 to 32 when its bits
   * are the same, 12 to 30 through a second encoding, 2 to 6 when the codec ate most of the noise.
   */
  replayMeanZ: 1.2,
  replayMemory: 32,

  // ── changed ──
  /** A cell has stepped when its mean over 2 s moved by so many levels and by four times its own wandering. */
  stepLevels: 8,
  stepDeviations: 4,
  /** … and by so many times its usual wandering: a beat between flicker and shutter swings by 1.4 times its SD. */
  stepUsualDeviations: 3,
  /** What is usual is not known before, ms. */
  stepLearningMs: 8_000,
  stepWindowMs: 2_000,
  /** So many cells stepping at once is a change; wax that moves steps 2 to 6 %. */
  stepCellShare: 0.2,
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
  /** A fault begins after so long, ms, with nothing but failures: one bright picture is lightning. */
  raiseMs: 900,
  /** A fault ends after so long without it, ms. */
  recoverMs: 15_000,
} as const;
