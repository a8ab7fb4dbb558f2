/**
 * Installs the packages of a package below the root, if they are missing or old.
 *
 * Usage: node scripts/install.ts bench
 */
import { join } from "node:path";
import { root } from "./buf.ts";
import { installPackages } from "./packages.ts";

installPackages(join(root, process.argv[2]!));
