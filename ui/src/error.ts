/** A field of a request that the server refused: a cause of `Status.details`, and its place in the text where there is one. */
export interface Cause {
  reason?: string
  message?: string
  field?: string
  line?: number
  column?: number
}

/** A refusal of the server, or its silence (`code` 0). */
export class ApiError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly causes: Cause[] = [],
  ) {
    super(message)
  }
}
