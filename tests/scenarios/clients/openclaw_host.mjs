// As much of OpenClaw as its WeChat channel needs: names, folders, who may write, typing. No agent, no hooks.
import os from 'node:os'

export const normalizeAccountId = id => id.trim().toLowerCase().replace(/[^a-z0-9_-]+/g, '-')
export const resolvePreferredOpenClawTmpDir = () => process.env.OPENCLAW_TMP || os.tmpdir()
export const withFileLock = (path, options, work) => work()
export const createTypingCallbacks = callbacks => callbacks
export const resolveSenderCommandAuthorizationWithRuntime = async ({ senderId, isSenderAllowed, readAllowFromStore }) => {
  const allowed = isSenderAllowed(senderId, await readAllowFromStore())
  return { senderAllowedForCommands: allowed, commandAuthorized: allowed }
}
export const resolveDirectDmAuthorizationOutcome = ({ senderAllowedForCommands }) => senderAllowedForCommands ? 'allowed' : 'unauthorized'
export const getGlobalHookRunner = () => null
export const fireAndForgetHook = () => {}
export const buildCanonicalSentMessageHookContext = values => values
export const toPluginMessageContext = values => values
export const toPluginMessageSentEvent = values => values
export const loadConfig = () => ({})
export const writeConfigFile = async () => {}
