"""The official Python client, driven by openai-python.ts over stdin and stdout.

Says its version first. Then each line {"what": …, "baseURL": …, "model": …, "retries": …, "tool": …}
is one thing to do, and is answered by one line.
"""

import json
import os
import sys

import openai

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(client, ask):
    answer = client.chat.completions.create(model=ask["model"], messages=MESSAGES)
    return {"text": answer.choices[0].message.content}


def stream(client, ask):
    text, tokens = "", None
    for chunk in client.chat.completions.create(
        model=ask["model"],
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    ):
        for choice in chunk.choices:
            text += choice.delta.content or ""
        if chunk.usage is not None:
            tokens = chunk.usage.completion_tokens
    return {"text": text, "tokens": tokens}


def tools(client, ask):
    tool = {"type": "function", "function": ask["tool"]}
    with client.chat.completions.stream(
        model=ask["model"], messages=MESSAGES, tools=[tool]
    ) as events:
        message = events.get_final_completion().choices[0].message
    return {
        "calls": [
            {"id": call.id, "name": call.function.name, "args": json.loads(call.function.arguments)}
            for call in message.tool_calls
        ]
    }


def abort(client, ask):
    with client.chat.completions.create(
        model=ask["model"], messages=MESSAGES, stream=True
    ) as chunks:
        for chunk in chunks:
            if chunk.choices[0].delta.content:
                return {}


def models(client, ask):
    return {"ids": [model.id for model in client.models.list()]}


def environment(client, ask):
    os.environ.update({"OPENAI_BASE_URL": ask["baseURL"], "OPENAI_API_KEY": "local"})
    return chat(openai.OpenAI(), ask)


CASES = {case.__name__: case for case in (chat, stream, tools, abort, models, environment)}


def answer(ask):
    client = openai.OpenAI(base_url=ask["baseURL"], api_key="any", max_retries=ask["retries"])
    try:
        return CASES[ask["what"]](client, ask)
    except openai.APIError as error:
        return {"raised": {"message": error.message, "code": error.code}}


print(json.dumps({"version": openai.__version__}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
