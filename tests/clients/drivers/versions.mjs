// The version of an installed package, for those whose exports hide their package.json.
import { readFile } from "node:fs/promises";

export async function versionOf(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(await readFile(file, "utf8")).version;
}
