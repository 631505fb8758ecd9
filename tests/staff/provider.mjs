// A certified OpenID provider on loopback, for tests: node provider.mjs PACKAGE PORT CLIENT CALLBACK ACCOUNT_JSON [MORE_OF_CLIENT_JSON]
import { pathToFileURL } from "node:url";

const [folder, port, client, callback, account, more] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${folder}/lib/index.js`));
const claims = JSON.parse(account);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: client, client_secret: "not-a-secret", redirect_uris: [callback], ...JSON.parse(more ?? "{}") }],
  findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) }),
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
