// A Node-RED for tests: on loopback, as quiet as can be. It tells on its output, as lines of JSON after an @,
// what its debug nodes show and what it complains of.
const { events } = require.main.require("@node-red/util");

const tell = (what) => process.stdout.write(`@${JSON.stringify(what)}\n`);

events.on("comms", ({ topic, data }) => {
    if (topic === "debug") tell({ what: "debug", name: data.name, text: String(data.msg) });
});

// A deploy removes the context files of flows that are gone. Where that meets the writing of one, Node-RED 4.1 swallows
// the error and starts no flow any more. Here it waits for the writing, and the next writing waits for it.
const localfilesystem = require.main.require("@node-red/runtime/lib/nodes/context/localfilesystem");
const oneAfterTheOther = (config) => {
    const store = localfilesystem(config);
    const clean = store.clean.bind(store);
    store.clean = (nodes) => {
        const cleaned = store.writePromise.then(() => clean(nodes));
        store.writePromise = cleaned.catch(() => {});
        return cleaned;
    };
    return store;
};

module.exports = {
    uiHost: "127.0.0.1",
    flowFile: "flows.json",
    credentialSecret: "of a test",
    editorTheme: { projects: { enabled: false }, tours: false },
    disableEditor: process.env.WITH_EDITOR !== "1",
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false }, modules: { allowInstall: false } },
    // As deploy/node-red/README.md shows it; written sooner, since tests do not wait half a minute.
    contextStorage: { default: { module: oneAfterTheOther, config: { flushInterval: 0.2 } } },
    mqttReconnectTime: 200,
    logging: {
        console: { level: "off" },
        told: { level: "info", handler: () => ({ level, msg, id }) => tell({ what: "log", level, node: id, text: String(msg) }) },
    },
};
