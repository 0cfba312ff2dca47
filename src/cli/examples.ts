/** What people type, per subcommand: the first thing that `--help` shows. */
export const EXAMPLES = {
  gengate: `Examples:
  gengate                                    run the gate on 127.0.0.1:8000
  gengate probe --url http://127.0.0.1:8001  does this server generate?
  gengate status                             which upstream serves, and why
  gengate explain                            why would a request go there?
  gengate run ollama --gate                  start an engine, and the gate
  gengate doctor                             what could be wrong here?`,
  serve: `Examples:
  gengate serve
  gengate serve --upstream http://127.0.0.1:8001
  gengate serve --upstream vllm_cpu=http://127.0.0.1:8001
  GENGATE_PORT=8010 gengate serve --upstream http://127.0.0.1:8000`,
  run: `Examples:
  gengate run vllm_cpu                    start that engine, on its own port
  gengate run                             LOCAL_LLM_BACKEND, else vllm_cpu
  gengate run ollama --gate               and the gate in front of it
  gengate run ollama --heal               and restart it when dead or wedged
  gengate run vllm_metal --dry-run        only print the command line
  gengate run vllm_cpu -- --max-num-seqs 4
  GENGATE_LLAMACPP_GGUF=~/m.gguf gengate run llamacpp -- -c 4096

What stands after -- are flags of the engine; they replace ours.`,
  probe: `Examples:
  gengate probe                           what clients use (see below)
  gengate probe vllm_cpu ollama           these configured upstreams
  gengate probe --url http://127.0.0.1:8001 --timeout 60
  gengate probe --json; echo "exit=$?"    0 it generates, 1 it does not
  gengate probe ollama --watch            again and again, until Ctrl-C

Clients use SYSTEM2_VLLM_BASE_URL, else OPENCLAW_VLLM_BASE_URL, else the
gate's own port.`,
  diag: `Examples:
  gengate diag
  gengate diag | grep '^local_vllm:'`,
  status: `Examples:
  gengate status
  gengate status --watch                  redrawn every 2 s, until Ctrl-C
  gengate status --json | jq '.upstreams[].reason'
  gengate status --watch --json           one JSON document per line`,
  explain: `Examples:
  gengate explain                         a request that names no model
  gengate explain default                 what clients of "default" get
  gengate explain qwen2.5:0.5b --json
  gengate explain; echo "exit=$?"         0 something serves it, 1 nothing`,
  wait: `Examples:
  gengate wait                            until something can serve, or 180 s
  gengate wait --timeout 60 && ./client.sh
  gengate wait --model default; echo "exit=$?"      0 ready, 1 not in time`,
  completion: `Examples:
  gengate completion bash                 the script, to look at it

Install it once, by the line for your shell:
  bash  echo 'eval "$(gengate completion bash)"' >> ~/.bashrc
  zsh   echo 'eval "$(gengate completion zsh)"' >> ~/.zshrc   (after compinit)
  fish  gengate completion fish > ~/.config/fish/completions/gengate.fish`,
  doctor: `Examples:
  gengate doctor
  gengate doctor --json`,
  config: `Examples:
  gengate config check
  gengate config print`,
  check: `Examples:
  gengate config check
  gengate config check --envfile ./new.env && mv new.env .env`,
  print: `Examples:
  gengate config print
  gengate config print | grep -v '# default'`,
} as const
