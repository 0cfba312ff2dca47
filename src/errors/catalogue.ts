export interface ErrorSpec {
  readonly status: number
  /** The same request cannot succeed, although its status is one of those after which a client may
   *  try it again (`mayRetry`). */
  readonly final?: true
  /** What happened, in one sentence. Details are appended by the caller. */
  readonly message: string
  /** What to do, for docs/errors.md. */
  readonly advice: string
}

/**
 * THE table of errors that the gate itself makes. Codes are stable: clients branch on them. Every
 * row stands in docs/errors.md; a test holds the two together.
 */
export const ERRORS = {
  bad_framing: {
    status: 400,
    message: 'The HTTP framing of this request is not valid.',
    advice: 'Send one Content-Length or Transfer-Encoding: chunked, as HTTP/1.1 defines them.',
  },
  bad_path: {
    status: 400,
    message: 'The path of this request is not acceptable.',
    advice: 'Send a plain path: no dot segments, backslashes, double slashes or broken escapes.',
  },
  host_not_allowed: {
    status: 421,
    message: 'This Host is not served here.',
    advice: 'Use a loopback name or an IP address, or add the name to GENGATE_ALLOWED_HOSTS.',
  },
  origin_not_allowed: {
    status: 403,
    message: 'Requests from this web origin are not allowed.',
    advice: 'Add the origin to GENGATE_ALLOWED_ORIGINS if the page is yours.',
  },
  unsupported_media_type: {
    status: 415,
    message: 'The body must be application/json in UTF-8.',
    advice: 'Send content-type: application/json.',
  },
  unsupported_content_encoding: {
    status: 415,
    message: 'Compressed request bodies are not accepted.',
    advice: 'Send the body without Content-Encoding.',
  },
  unsupported_transfer_coding: {
    status: 501,
    message: 'Only the chunked transfer coding is supported.',
    advice: 'Send Transfer-Encoding: chunked or Content-Length.',
  },
  expectation_failed: {
    status: 417,
    message: 'Only Expect: 100-continue is supported.',
    advice: 'Remove the Expect header.',
  },
  upgrade_not_supported: {
    status: 426,
    message: 'This path cannot be upgraded to another protocol.',
    advice: 'Send a plain HTTP/1.1 request.',
  },
  method_not_allowed: {
    status: 405,
    message: 'This method is not allowed here.',
    advice: 'See the Allow header of the answer.',
  },
  not_found: {
    status: 404,
    message: 'There is no such route on this gate.',
    advice: 'The base URL of OpenAI clients ends in /v1. GET /gate/status shows what is served.',
  },
  invalid_json: {
    status: 400,
    message: 'The body is not valid JSON.',
    advice: 'Send one JSON object.',
  },
  invalid_body: {
    status: 400,
    message: 'The body must be a JSON object.',
    advice: 'Send an object such as {"model": "default", "messages": […]}.',
  },
  invalid_utf8: {
    status: 400,
    message: 'The body is not valid UTF-8.',
    advice: 'Encode the body as UTF-8.',
  },
  json_too_deep: {
    status: 400,
    message: 'The body is nested too deeply.',
    advice: 'Keep objects and arrays within 200 levels.',
  },
  json_too_complex: {
    status: 400,
    message: 'The body has too many values.',
    advice: 'Keep the body within a million values; numbers do not count.',
  },
  ambiguous_key: {
    status: 400,
    message: 'A key of the body can be read in two ways.',
    advice:
      'Write model, stream and the like in small letters, and once: engines differ in what they take for the same key.',
  },
  invalid_model: {
    status: 400,
    message: 'The model must be a string of at most 256 characters.',
    advice: 'Use a name that GET /v1/models lists, or leave it out.',
  },
  invalid_form: {
    status: 400,
    message: 'The form cannot be read in one way only.',
    advice: 'Send multipart/form-data with one plain part named model, as client libraries do.',
  },
  invalid_type: {
    status: 400,
    message: 'A field of the body has the wrong type.',
    advice: 'Set stream to true or false.',
  },
  model_not_found: {
    status: 404,
    message: 'No upstream serves this model.',
    advice: 'Use one of the names in the message, or "default".',
  },
  model_required: {
    status: 400,
    message: 'This request names no model, and no upstream has one that it could mean.',
    advice: 'Name one of the models in the message, or set GENGATE_<NAME>_MODEL for an upstream.',
  },
  response_not_found: {
    status: 404,
    message: 'Nobody here keeps this response any more.',
    advice:
      'A response is kept by the upstream that made it, for an hour, while this gate runs. Send the whole conversation instead.',
  },
  response_model_mismatch: {
    status: 400,
    message: 'The upstream that keeps the previous response does not serve this model.',
    advice:
      'Ask for one of the models in the message, or send the whole conversation without previous_response_id.',
  },
  request_too_large: {
    status: 413,
    message: 'The body is larger than this gate accepts.',
    advice: 'Raise GENGATE_BODY_MAX_BYTES if the request is meant to be this large.',
  },
  request_timeout: {
    status: 408,
    message: 'The body arrived too slowly, or stopped.',
    advice:
      'Send the whole body: the next byte within ten seconds, 16 kB a second after the first ten, and more where others wait for room.',
  },
  headers_too_large: {
    status: 431,
    message: 'The headers of this request are too large.',
    advice: 'Keep the request line and headers under 16 KiB.',
  },
  invalid_api_key: {
    status: 401,
    message: 'This gate needs an API key, and the one sent is missing or wrong.',
    advice: 'Send Authorization: Bearer KEY with one of GENGATE_API_KEYS.',
  },
  too_many_pipelined: {
    status: 400,
    message: 'Too many requests wait for their answers on this connection.',
    advice: 'Send at most 16 requests before the first answer, or use more connections.',
  },
  loop_detected: {
    status: 508,
    message: 'This request has already passed this gate, or more than five gates.',
    advice: 'Move the engine to its own port: the URL of an upstream leads back here.',
  },
  no_eligible_upstream: {
    status: 503,
    message: 'No upstream can generate now.',
    advice: 'Read the message: it says why, per upstream. `gengate diag` shows the same.',
  },
  upstream_starting: {
    status: 503,
    message: 'The upstreams are still starting.',
    advice: 'Wait until a model is loaded; GET /readyz turns 200.',
  },
  queue_full: {
    status: 503,
    message: 'Every eligible upstream is at its cap and the queue is full.',
    advice: 'Raise GENGATE_<NAME>_MAX_CONCURRENCY, or add an upstream.',
  },
  queue_timeout: {
    status: 503,
    message: 'Every eligible upstream stayed at its cap for too long.',
    advice: 'Raise GENGATE_<NAME>_MAX_CONCURRENCY, or add an upstream.',
  },
  gate_overloaded: {
    status: 503,
    message: 'The requests that this gate holds now leave no room for another one.',
    advice: 'Send fewer large requests at once, or raise GENGATE_BODY_MAX_BYTES.',
  },
  too_many_connections: {
    status: 503,
    message: 'This gate has as many connections as it takes.',
    advice: 'Close connections that are not used, or raise GENGATE_CONNECTIONS_MAX.',
  },
  gate_draining: {
    status: 503,
    message: 'This gate is shutting down.',
    advice: 'Try again; another instance or the restarted gate answers.',
  },
  upstream_unreachable: {
    status: 502,
    message: 'The upstream refused or dropped the connection.',
    advice: 'Start the engine, or check its URL. `gengate status` shows its state.',
  },
  upstream_protocol_error: {
    status: 502,
    message: 'The upstream did not send a valid answer.',
    advice: 'Check that the URL belongs to an OpenAI-compatible server.',
  },
  upstream_truncated: {
    status: 502,
    message: 'The upstream ended its answer before it was complete.',
    advice: 'See the log of the engine, which was stopped or crashed, then try again.',
  },
  upstream_error: {
    status: 502,
    message: 'The upstream failed while it generated.',
    advice: 'See the log of the engine.',
  },
  upstream_stalled: {
    status: 504,
    message: 'The upstream stopped generating and was taken out.',
    advice: 'Restart the engine, which is wedged; `gengate diag` shows the proof.',
  },
  upstream_misconfigured: {
    status: 502,
    final: true,
    message: 'The upstream refuses the key or the model that this gate is configured with.',
    advice: 'Set GENGATE_<NAME>_API_KEY or GENGATE_<NAME>_MODEL.',
  },
  internal_error: {
    status: 500,
    message: 'The gate failed. This is a bug in gengate.',
    advice: 'Report it with the request id and the log line.',
  },
} as const satisfies Record<string, ErrorSpec>

export type ErrorCode = keyof typeof ERRORS
