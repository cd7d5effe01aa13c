// Request methods (RFC 9110, 9). Every token is forwarded except CONNECT: applications define methods that no proxy can list
// (Vault's LIST, BAN of caches, BPROPFIND of Exchange). Only methods that IANA registers as idempotent may be retried.

/** Longest method that is forwarded, bytes. The longest registered one has 17. */
export const MAX_METHOD_BYTES = 32

/**
 * Methods with "Idempotent: yes" in IANA's HTTP Method Registry
 * (https://www.iana.org/assignments/http-methods/http-methods.xhtml, as of 2026-06-17). The other registered methods are CONNECT,
 * LOCK, PATCH and POST.
 */
export const IDEMPOTENT_METHODS: ReadonlySet<string> = new Set(
  (
    'ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE GET HEAD LABEL LINK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF ' +
    'MKWORKSPACE MOVE OPTIONS ORDERPATCH PRI PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK ' +
    'UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL'
  ).split(' '),
)
