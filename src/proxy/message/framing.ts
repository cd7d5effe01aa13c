// How the end of a body is determined (RFC 9112, 6.3; RFC 9113, 8.1). The forwarder and both codecs use these constants.

export type Framing = 0 | 1 | 2 | 3
/** There is no body. */
export const NO_BODY = 0
/** Content-Length gives the number of bytes. */
export const BY_LENGTH = 1
/** The codec marks the end: the last chunk of the chunked coding, END_STREAM in HTTP/2. The length is not known in advance. */
export const BY_CHUNKS = 2
/** The connection closes after the last byte. Responses of HTTP/1 only. */
export const BY_CLOSE = 3
