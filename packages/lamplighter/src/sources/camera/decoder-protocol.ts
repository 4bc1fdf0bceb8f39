/** The largest JPEG that is ever sent to the decoder, bytes. */
export const MAX_JPEG_BYTES = 64 * 1024 * 1024;
/** First byte of an answer: this could not be decoded. Nothing follows. */
export const NOT_DECODABLE = 0;
/** First byte of an answer: a preview's luma follows. */
export const PICTURE = 1;
