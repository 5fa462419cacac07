/** The option parser, by the one door through which it comes in. */
export { Command, CommanderError, InvalidArgumentError } from "commander";
