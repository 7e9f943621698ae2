// .NET 5 and later. Your key and certificate are in your.pfx.
using System.Net.Http;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

var own = new X509Certificate2("your.pfx", Environment.GetEnvironmentVariable("PFX_PASSPHRASE"));
var trusted = new X509Certificate2Collection();
trusted.ImportFromPemFile("chain.pem");
var handler = new SocketsHttpHandler();
handler.SslOptions.ClientCertificates = new X509CertificateCollection { own };
handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy  // .NET 7 and later
{
    TrustMode = X509ChainTrustMode.CustomRootTrust,
    RevocationMode = X509RevocationMode.NoCheck,
};
handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(trusted);
using var client = new HttpClient(handler);
Console.WriteLine(await client.GetStringAsync(@whoami_text));
