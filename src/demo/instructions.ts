// The text that the demo prints when it is ready: one line for each thing to try, with the expected result.

import type { ReplicaPlan } from './replicas.ts'

export const keyHelp = `keys  l kill the replica that leads (again: start it)       1 2 3 kill a replica (again: start it)
      m kill the leading manager (again: bring it back)   f kill a follower (again: bring it back)
      r roll whoami   + - scale whoami   s what each replica sees   q or Ctrl-C quit`

export function instructions(plans: readonly ReplicaPlan[], managers: readonly string[], keys: boolean): string {
  const docker = [
    `The swarm answers the Docker API: docker -H ${managers[0]} service ls`,
    '  (node ls, service ps whoami, service scale -d whoami=5, service update -d --force whoami all work and are picked up)',
  ]
  const [first, second, third] = plans
  if (first === undefined || second === undefined || third === undefined) return docker.join('\n')
  const jar = '-c /tmp/skein-jar -b /tmp/skein-jar'
  const handshake =
    "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' " +
    "-H 'Sec-WebSocket-Key: c2tlaW4tZGVtby1rZXktMTY='"
  const lines = [
    '',
    'The three replicas of Skein form one cluster. The leader reads the swarm for all; the others keep an event stream to their own',
    'managers, so that each can take over. When the leader dies, another one leads within a second, and no request is lost.',
    '',
    `Open http://localhost:${first.webPort}/ in a browser: it shows which edge and backend served each click, sessions, and a breaker.`,
    '',
    'Try (any of the three ports will do):',
    `  curl http://whoami.localhost:${first.webPort}/                       another task each time`,
    `  curl ${jar} http://sticky.localhost:${second.webPort}/   the same task every time, on every port`,
    `  curl ${jar} http://shop.localhost:${third.webPort}/shop     the same, by the application's own session`,
    `  curl http://slow.localhost:${third.webPort}/                         always 200, although tasks reset every fifth request`,
    `  open http://chat.localhost:${first.webPort}/ in a browser            a chat over WebSocket`,
    `  curl -iN -m 2 ${handshake} http://chat.localhost:${first.webPort}/`,
    '                                                       101, then a welcome from the task',
    `  curl http://nowhere.localhost:${first.webPort}/                      404 with a request id`,
    `  curl http://127.0.0.1:${first.adminPort}/api/snapshot                 the configuration it serves (also /api/health, /api/managers)`,
    `  curl http://127.0.0.1:${second.adminPort}/api/cluster                  the leader, and the members as this replica sees them`,
    ...docker,
    '',
    keys
      ? `Press l to kill the leading replica: the screen shows the next leader, and the time of the election.\n\n${keyHelp}`
      : 'No terminal, so no keys: SIGUSR2 kills the leading manager (or revives it), SIGINT or SIGTERM ends the demo.',
    '',
  ]
  return lines.join('\n')
}
