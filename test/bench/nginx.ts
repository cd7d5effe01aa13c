// The configurations of nginx: as the fast backend of every proxy, and as one of the proxies.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Case, hostOf, serverHosts } from './cases.ts'
import { type Started, start } from './processes.ts'

/** Common settings: nginx runs in the foreground, as the user of the bench, with all files in the bench's directory. */
export function configuration(directory: string, events: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${directory}/nginx-${name};`)
    .join('\n  ')
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `${user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr error;
events { worker_connections 16000; ${events} }
http {
  ${temporary}
  access_log off;
  keepalive_timeout 120s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  types { text/plain txt; }
  default_type text/plain;
${http}
}
`
}

export function runNginx(directory: string, name: string, config: string): Started {
  const file = join(directory, `${name}.conf`)
  writeFileSync(file, config.replace('daemon off;', `daemon off;\npid ${directory}/${name}.pid;`))
  return start('nginx', ['-p', directory, '-e', 'stderr', '-c', file], join(directory, `${name}.log`))
}

/** The backend answers /1k and /1m from files, and /post after it has read the whole body. It listens on 127.0.0.1, .2 and .3. */
export function startBackend(directory: string, port: number): Started {
  writeFileSync(join(directory, '1k'), 'x'.repeat(1024))
  writeFileSync(join(directory, '1m'), 'x'.repeat(1024 * 1024))
  for (const name of ['post', 'ok']) writeFileSync(join(directory, name), 'ok\n')
  const listen = serverHosts(3)
    .map(host => `listen ${host}:${port} backlog=4096;`)
    .join(' ')
  // A POST to a file is a 405, which becomes the answer "ok". The mirror makes nginx read the body first.
  return runNginx(
    directory,
    'backend',
    configuration(
      directory,
      '',
      `  sendfile on; tcp_nopush on;
  open_file_cache max=10;
  client_body_buffer_size 128k;
  server {
    ${listen}
    root ${directory};
    location = /post { mirror /swallow; mirror_request_body on; error_page 405 =200 /ok; }
    location = /swallow { internal; return 204; }
  }`,
    ),
  )
}

/** nginx as a proxy: one worker, keep-alive to the backend, the usual forwarded headers. */
export function startNginx(directory: string, port: number, backendPort: number, shape: Case): Started {
  const upstreams: string[] = []
  const servers: string[] = []
  for (let i = 0; i < shape.services; i++) {
    const list = serverHosts(shape.serversEach)
      .map(host => `server ${host}:${backendPort};`)
      .join(' ')
    upstreams.push(`  upstream u${i} { ${list} keepalive 128; keepalive_requests 1000000000; keepalive_timeout 60s; }`)
    servers.push(`  server { listen 127.0.0.1:${port}; server_name ${hostOf(i)}; location / { proxy_pass http://u${i}; } }`)
  }
  const http = `  server_names_hash_max_size 8192;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Forwarded-Server $hostname;
  proxy_set_header X-Real-Ip $remote_addr;
${upstreams.join('\n')}
  server { listen 127.0.0.1:${port} default_server backlog=4096; return 404; }
${servers.join('\n')}`
  return runNginx(directory, 'proxy-nginx', configuration(directory, '', http))
}
