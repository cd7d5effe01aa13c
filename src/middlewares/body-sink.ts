// A body on its way through the middlewares: content without framing, in the order of arrival. A middleware returns a sink that
// writes to the next one. Calls are synchronous.

export interface BodySink {
  /**
   * Takes content. The bytes must not be changed, and must be copied if they are kept.
   * @returns false to request a pause; more content may still follow. The source continues when the receiver of the body accepts
   * more, or in a later turn if it already does. A sink that only keeps content returns true
   */
  write(content: Buffer): boolean
  /** The body is complete: writes what is kept and ends the next sink. Not called if the body breaks off. */
  end(): void
}
