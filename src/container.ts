import { readFileSync, statSync } from 'node:fs'
import { withCode } from './pipeline/errors.ts'

/**
 * The first process of an image. Folders that are mounted belong to whoever made them, so root, as which a container starts unless it is told otherwise,
 * becomes the owner of `state/` before anything is read; a container that runs as somebody (`--user`) stays that user. Then it is the collector itself, so
 * that signals reach it.
 */
process.exitCode = becomeOwnerOf('state')
if (process.exitCode === 0) await import('./cli.ts')

/** 2 where it cannot be done, with one line that says what to do. */
function becomeOwnerOf(folder: string): 0 | 2 {
  if (process.getuid?.() !== 0) return 0
  const owner = statSync(folder, { throwIfNoEntry: false })
  if (owner === undefined) return fail(`there is no folder ${folder}/ in ${process.cwd()}: mount it, and leave the working directory as it is`)
  const { uid, gid } = owner
  if (uid === 0) {
    // Without a privilege of its own root is nobody else: a container of a user's own, whose folders are root's within.
    const warning = `${folder}/ belongs to root, so the collector runs as root; give the folders to another user (chown -R 1000:1000), or start the container with --user`
    if (isRootOfTheHost()) process.stderr.write(`${withCode(warning, { code: 'ContainerRunsAsRoot' })}\n`)
    return 0
  }
  try {
    process.setgroups?.([gid])
    process.setgid?.(gid)
    process.setuid?.(uid)
    return 0
  } catch {
    return fail(`the container runs as root and may not become the owner of ${folder}/: start it with --user ${uid}:${gid}, or leave it the capabilities SETUID and SETGID`)
  }
}

/** False in a user namespace, as of rootless Docker and Podman. */
function isRootOfTheHost(): boolean {
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'))
  } catch {
    return true
  }
}

function fail(message: string): 2 {
  process.stderr.write(`${withCode(message, { code: 'ContainerUser' })}\n`)
  return 2
}
