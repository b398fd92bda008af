// A Node-RED for tests: on loopback, as quiet as can be. It tells on its output, as lines of JSON after an @,
// what its debug nodes show and what it complains of.
const { events } = require.main.require("@node-red/util");

const tell = (what) => process.stdout.write(`@${JSON.stringify(what)}\n`);

events.on("comms", ({ topic, data }) => {
    if (topic === "debug") tell({ what: "debug", name: data.name, text: String(data.msg) });
});

module.exports = {
    uiHost: "127.0.0.1",
    flowFile: "flows.json",
    credentialSecret: "of a test",
    editorTheme: { projects: { enabled: false }, tours: false },
    disableEditor: process.env.WITH_EDITOR !== "1",
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false }, modules: { allowInstall: false } },
    // As deploy/node-red/README.md shows it; written sooner, since tests do not wait half a minute.
    contextStorage: { default: { module: "localfilesystem", config: { flushInterval: 0.2 } } },
    mqttReconnectTime: 200,
    logging: {
        console: { level: "off" },
        told: { level: "info", handler: () => ({ level, msg, id }) => tell({ what: "log", level, node: id, text: String(msg) }) },
    },
};
