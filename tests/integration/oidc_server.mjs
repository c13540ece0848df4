// An OpenID provider (oidc-provider, which checks every signature and remembers each jti) for test_auth.py: node oidc_server.mjs FOLDER CLIENTS
// FOLDER: where node_modules is; CLIENTS: JSON list of client metadata. Says "port N" when it serves on loopback; one line for each refusal.
import { createRequire } from 'node:module';
import http from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, clients] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(createRequire(folder + '/').resolve('oidc-provider')));
const server = http.createServer((req, res) => handler(req, res));
let handler;
server.listen(0, '127.0.0.1', () => {
  const port = server.address().port;
  const algorithms = ['RS256', 'RS384', 'ES256', 'ES384'];
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: JSON.parse(clients),
    scopes: ['system/Patient.rs', 'system/Observation.rs', 'a'],
    features: { clientCredentials: { enabled: true }, introspection: { enabled: true }, devInteractions: { enabled: false } },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: algorithms },
    ttl: { ClientCredentials: 600 },
  });
  provider.on('grant.error', (ctx, error) => console.log('refused', error.error, error.error_detail || error.error_description));
  provider.on('server_error', (ctx, error) => console.log('error', error.message));
  handler = provider.callback();
  console.log('port', port);
});
