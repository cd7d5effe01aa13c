// Methods that llhttp, Node's own parser, knows (IANA's registry and a few of the field). Written out because importing node:http
// for them loads far more than a data worker needs. A test compares the list with Node's.

/** CONNECT is missing on purpose: it is for forward proxies and is answered with 405. */
export const METHODS: ReadonlySet<string> = new Set(
  (
    'ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST ' +
    'PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' '),
)
