// The history of one seed: a line per occurrence with virtual time, member and description. Members have names: `edge-3` is the
// first life of the third host, `edge-3.2` the second.

import type { CoreEvent, MemberId, Message, Revision, Term } from '../../cluster/core/state.ts'
import { versionOf } from './content.ts'

export class Trace {
  /** Receives lines; null: no trace, so lines should not be built. */
  readonly write: ((line: string) => void) | null
  private readonly names = new Map<MemberId, string>()

  constructor(write: ((line: string) => void) | null) {
    this.write = write
  }

  name(id: MemberId, label: string): void {
    this.names.set(id, label)
  }

  of(id: MemberId | null): string {
    return id === null ? 'no member' : (this.names.get(id) ?? id)
  }

  line(at: number, who: string, what: string): void {
    this.write?.(`${(at / 1000).toFixed(4).padStart(9)}  ${who.padEnd(10)}  ${what}`)
  }

  term(term: Term): string {
    return term.leader === '' ? `${term.number}` : `${term.number} of ${this.of(term.leader)}`
  }

  revision(revision: Revision | null): string {
    if (revision === null) return 'nothing'
    return `${revision.term}/${revision.leader === '' ? '-' : this.of(revision.leader)}/${revision.sequence}`
  }

  message(message: Message): string {
    switch (message.kind) {
      case 'beat': {
        const { role, term, revision, suspects, draining, local } = message
        const doubts = suspects.length === 0 ? '' : `, suspects ${suspects.map(id => this.of(id)).join(' ')}`
        const manager = local.managerHealthy ? '' : ', no manager'
        const what = `${draining ? 'draining ' : ''}${role} at term ${this.term(term)}`
        return `beat: ${what}, holds ${this.revision(revision)}${manager}${doubts}`
      }
      case 'announce': {
        const { term, revision, size, body } = message
        const how = body === null ? 'to be pulled' : 'inline'
        return `announce: term ${this.term(term)}, ${this.revision(revision)}, ${size} ${how}`
      }
      case 'vote?': {
        const { term, pre, consent, revision } = message
        return `${pre ? 'pre-vote?' : 'vote?'} for ${term}${consent ? ' with consent' : ''}, holds ${this.revision(revision)}`
      }
      case 'vote!':
        return (
          `${message.pre ? 'pre-vote' : 'vote'} ${message.granted ? 'granted' : 'refused'} for ${message.term}, ` +
          `highest term ${this.term(message.known)}`
        )
      case 'store':
        return `store: ${message.data.length} characters`
      case 'handover':
        return `handover: stand at once, term ${this.term(message.term)}`
      case 'hint':
        return `hint: ${message.keys.join(' ')}`
      case 'leave':
        return 'leave'
    }
  }

  event(event: CoreEvent): string {
    switch (event.kind) {
      case 'tick':
        return 'tick'
      case 'message':
        return `from ${this.of(event.from)}: ${this.message(event.message)}`
      case 'connected':
      case 'disconnected':
        return `${event.kind} ${this.of(event.peer)}`
      case 'local':
        return `its manager: ${event.local.manager ?? 'none'}${event.local.managerHealthy ? '' : ', not well'}`
      case 'eventsSeen':
        return `its manager reported ${event.keys.join(' ')}`
      case 'publish':
        return `publishes version ${versionOf(event.body)}`
      case 'pulled':
        return `pulled ${this.revision(event.held.revision)} from ${this.of(event.from)}`
      case 'pullFailed':
        return `could not pull ${this.revision(event.revision)} from ${this.of(event.from)}`
      case 'drain':
        return 'receives drain'
    }
  }
}
