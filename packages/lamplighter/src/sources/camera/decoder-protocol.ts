/** The largest JPEG that is ever sent to the decoder, bytes. */
export const MAX_JPEG_BYTES = 64 * 1024 * 1024;
/** First byte of an answer: this could not be decoded. Nothing follows. */
export const NOT_DECODABLE = 0;
/** First byte of an answer: width and height of the source, u16 each, then the luma of a grid of its pixels. */
export const PICTURE = 1;
/** What stands before the luma, bytes. */
export const PICTURE_HEADER_BYTES = 5;
