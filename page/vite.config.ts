import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const OUT = "../src/vispa/serving/page";
// What the build hangs on, beside the folders `src` and `public`.
const SOURCES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"];

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name));
}

function digest(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** Writes which sources gave which files, so that a test can tell a build that is not theirs. */
function record(): Plugin {
  return {
    name: "record",
    closeBundle() {
      const sources = [...SOURCES, ...files("src"), ...files("public")].sort();
      const built = ["index.html", "assets/app.css", "assets/app.js", "assets/icon.svg", "licenses.txt"];
      const found = {
        sources: Object.fromEntries(sources.map((path) => [path, digest(path)])),
        built: Object.fromEntries(built.map((path) => [path, digest(join(OUT, path))])),
      };
      writeFileSync(join(OUT, "build.json"), JSON.stringify(found, null, 1) + "\n");
    },
  };
}

export default defineConfig({
  base: "/",
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    // Nothing becomes part of the markup: the page's policy would refuse it.
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        entryFileNames: "assets/app.js",
        assetFileNames: "assets/app[extname]",
        codeSplitting: false,
      },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000" } },
  plugins: [record()],
});
