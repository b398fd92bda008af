// Gives the official iLink client its host: what it imports from OpenClaw is the small host beside this file.
import { register } from 'node:module'

if (!import.meta.url.includes('?inside')) register(`${import.meta.url}?inside`)

export async function resolve (specifier, context, next) {
  if (!specifier.startsWith('openclaw/')) return next(specifier, context)
  return { url: new URL('./openclaw_host.mjs', import.meta.url).href, shortCircuit: true }
}
