/** No log and no buffering of answers: nginx at its leanest. Pure. */
export function nginxConfig(dir: string, port: number, stubPort: number): string {
  return `daemon off; master_process off; worker_processes 1;
pid ${dir}/nginx.pid;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/temp;
  fastcgi_temp_path ${dir}/temp; uwsgi_temp_path ${dir}/temp; scgi_temp_path ${dir}/temp;
  client_body_buffer_size 256k; client_max_body_size 0;
  keepalive_requests 100000000; keepalive_timeout 75s;
  upstream stub { server 127.0.0.1:${stubPort}; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=8192;
    location / {
      proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 1h; proxy_send_timeout 1h;
    }
  }
}
`
}

/** One thread, no log, no delay, and the abort that a careful operator switches on. Pure. */
export function haproxyConfig(port: number, stubPort: number): string {
  return `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  option http-no-delay
  option abortonclose
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend bench
  bind 127.0.0.1:${port} backlog 8192
  default_backend stub
backend stub
  server stub 127.0.0.1:${stubPort}
`
}
